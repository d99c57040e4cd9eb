/* still_running.c - how many still run?  Look without blocking, and do something else
 * meanwhile.  usage: still_running SECONDS...  runs "sleep SECONDS" for each. */
#include <prong.h>
#include <stdio.h>
#include <time.h>

int main(int argc, char **argv)
{
	struct prong *pool;
	const struct prong_event *event;
	unsigned shown = 0;
	int left;
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = argc > 1 ? (unsigned)argc - 1 : 1 }) != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL }));
	do {
		while ((left = prong_wait(pool, &event, 0)) == 1) /* 0: only look */
			;
		if (prong_running(pool) != shown) {
			shown = prong_running(pool);
			printf("%u still running\n", shown);
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL); /* something else */
	} while (left == 0); /* -ECHILD: nothing is left */
	prong_close(pool);
	return 0;
}
