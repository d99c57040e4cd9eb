/* wait_timed.c - start children, wait for all of them, and say how long it took.
 * usage: wait_timed SECONDS...  runs "sleep SECONDS" for each. */
#include <prong.h>
#include <stdio.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	struct prong *pool;
	const struct prong_event *event;
	double begin = now();
	int failed = 0;
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = argc > 1 ? (unsigned)argc - 1 : 1 }) != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL },
		                              .tag = argv[i]));
	while (prong_wait(pool, &event, -1) == 1) {
		if (event->type != PRONG_DONE)
			continue;
		printf("sleep %s: %.1f s\n", (const char *)event->tag,
		       (double)(event->result->end_ns - event->result->start_ns) * 1e-9);
		failed += event->result->how != PRONG_EXITED || event->result->status != 0;
	}
	printf("all done after %.1f s\n", now() - begin);
	prong_close(pool);
	return failed > 0;
}
