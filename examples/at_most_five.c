/* at_most_five.c - however many jobs there are, never more than five at a time.
 * usage: at_most_five SECONDS...  runs "sleep SECONDS" for each. */
#include <prong.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct prong *pool;
	const struct prong_event *event;
	unsigned most = 0;
	int failed = 0;
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = 5 }) != 0)
		return 1;
	for (int i = 1; i < argc; i++) /* submitting only queues */
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL }));
	while (prong_wait(pool, &event, -1) == 1) {
		if (prong_running(pool) > most)
			most = prong_running(pool);
		if (event->type != PRONG_DONE)
			continue;
		failed += event->result->how != PRONG_EXITED || event->result->status != 0;
		printf("job %lld is done, %u still run\n", (long long)event->id,
		       prong_running(pool));
	}
	printf("at most %u ran at a time\n", most);
	prong_close(pool);
	return failed > 0;
}
