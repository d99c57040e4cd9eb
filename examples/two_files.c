/* two_files.c - two children at the same time, each writes a file of its own. */
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Runs in a child; what it returns is the child's exit status. */
static int write_file(void *arg, int result_fd)
{
	const char *name = arg;
	FILE *f = fopen(name, "w");
	if (!f)
		return 1;
	fprintf(f, "written by process %d\n", (int)getpid());
	dprintf(result_fd, "%s is ready", name); /* any length: it goes into a file, no pipe */
	return fclose(f) == 0 ? 0 : 1;
}

int main(void)
{
	static char *names[] = { "one.txt", "two.txt" };
	struct prong *pool;
	const struct prong_event *event;
	int failed = 0;
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = 2 }) != 0)
		return 1;
	for (int i = 0; i < 2; i++)
		prong_submit(pool, PRONG_SPEC(.fn = write_file, .arg = names[i]));
	while (prong_wait(pool, &event, -1) == 1) {
		char text[64] = "";
		if (event->type != PRONG_DONE)
			continue;
		if (pread(event->result->res.fd, text, sizeof text - 1, 0) < 0)
			perror("pread");
		printf("%s\n", text);
		failed += event->result->status != 0;
	}
	prong_close(pool);
	return failed > 0;
}
