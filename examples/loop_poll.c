/* loop_poll.c - a pool in a host's own poll() loop: one descriptor, whatever runs.
 * usage: loop_poll SECONDS... < LINES */
#include <poll.h>
#include <prong.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct prong *pool;
	const struct prong_event *event;
	char buf[256];
	int r;
	if (prong_open(&pool, NULL) != 0 || prong_fd(pool) < 0) /* -ENOTSUP: no Linux */
		return 1;
	for (int i = 1; i < argc; i++)
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL }));
	struct pollfd fds[] = { { prong_fd(pool), POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
	for (;;) {
		while ((r = prong_wait(pool, &event, 0)) == 1) /* until there is no more */
			if (event->type == PRONG_DONE)
				printf("job %lld is done\n", (long long)event->id);
		if (r < 0 && fds[1].fd < 0)
			break; /* no job, no input */
		if (poll(fds, 2, -1) < 0)
			break;
		if (fds[1].fd >= 0 && fds[1].revents) {
			ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
			if (n > 0)
				printf("%zd bytes of input\n", n);
			else
				fds[1].fd = -1;
		}
	}
	prong_close(pool);
	return 0;
}
