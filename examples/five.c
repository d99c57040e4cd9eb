/* five.c - at most five at a time: how many still run, without blocking; wait for all.
 * usage: five SECONDS... runs "sleep SECONDS" for each. */
#include <prong.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct prong *pool;
	const struct prong_event *event;
	int failed = 0;
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = 5 }) != 0)
		return 1;
	for (int i = 1; i < argc; i++)
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL }));

	/* Look, without blocking: 0 milliseconds. */
	while (prong_wait(pool, &event, 0) == 1)
		;
	printf("%u are running\n", prong_running(pool));

	/* Wait for all. */
	while (prong_wait(pool, &event, -1) == 1) {
		if (event->type != PRONG_DONE)
			continue;
		failed += event->result->how != PRONG_EXITED || event->result->status != 0;
		printf("job %lld is done, %u still run\n", (long long)event->id,
		       prong_running(pool));
	}
	prong_close(pool);
	return failed > 0;
}
