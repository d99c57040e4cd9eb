/* random_copies.c - a forked copy of a generator would draw the same numbers in each child.
 * Every child has a PRONG_SEED of its own; with options.seed the same ones in every run.
 * usage: random_copies [SEED] */
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int draw(struct prong_task *task)
{
	char text[16];
	const char *seed = getenv("PRONG_SEED"); /* or task->seed, 64 bits */
	srand(seed ? (unsigned)atoi(seed) : 0);
	snprintf(text, sizeof text, "%d", rand());
	return prong_reply(task, text, strlen(text) + 1);
}

int main(int argc, char **argv)
{
	struct prong_options options = { .size = sizeof options, .jobs = 3 };
	struct prong *pool;
	const struct prong_event *event;
	options.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	if (prong_open(&pool, &options) != 0)
		return 1;
	for (int i = 0; i < 7; i++)
		prong_submit(pool, PRONG_SPEC(.work = draw));
	while (prong_wait(pool, &event, -1) == 1)
		if (event->type == PRONG_DONE && event->len)
			printf("child %lld drew %s\n", (long long)event->id,
			       (const char *)event->data);
	prong_close(pool);
	return 0;
}
