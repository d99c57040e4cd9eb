/* article.c - functions in child processes: parent and child told apart, each child writes its
 * own file, random numbers that differ, all waited for with the elapsed time. */
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { NUM_PROCESSES = 7 };

/* Runs in the child; its return value is the child's exit status. */
static int child(void *arg, int result_fd)
{
	int n = *(int *)arg;
	char name[32];
	srand((unsigned)getpid()); /* a forked copy would else draw the parent's numbers */
	snprintf(name, sizeof name, "child-%d.txt", n);
	FILE *f = fopen(name, "w");
	if (!f)
		return 1;
	fprintf(f, "child %d is process %d of parent %d\n", n, (int)getpid(), (int)getppid());
	fclose(f);
	dprintf(result_fd, "%d", rand());
	return 0;
}

int main(void)
{
	struct prong *pool;
	const struct prong_event *event;
	int number[NUM_PROCESSES], failed = 0;
	time_t begin = time(NULL);
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = NUM_PROCESSES }) != 0)
		return 1;
	for (int i = 0; i < NUM_PROCESSES; i++) {
		number[i] = i;
		prong_submit(pool, PRONG_SPEC(.fn = child, .arg = &number[i]));
	}
	while (prong_wait(pool, &event, -1) == 1) {
		char text[32] = "";
		if (event->type != PRONG_DONE)
			continue;
		if (pread(event->result->res.fd, text, sizeof text - 1, 0) < 0)
			perror("pread");
		printf("process %d drew %s\n", (int)event->result->pid, text);
		failed += event->result->status != 0;
	}
	printf("all done after %.0f s\n", difftime(time(NULL), begin));
	prong_close(pool);
	return failed > 0;
}
