/* many.c - many small tasks: standing workers are forked once and fed all of them.
 * usage: many [N]  sums up 1..N, each number squared by a worker. */
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int square(struct prong_task *task)
{
	uint64_t n;
	memcpy(&n, task->data, sizeof n);
	n *= n;
	return prong_reply(task, &n, sizeof n);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, sent = 0, sum = 0, bad = 0;
	struct prong *pool;
	const struct prong_event *event;
	if (prong_open(&pool, NULL) != 0) /* as many workers as there are CPUs */
		return 1;
	for (;;) {
		while (sent < n && prong_task_room(pool)) { /* keeps memory small */
			sent++;
			bad += prong_submit(pool, PRONG_SPEC(.work = square, .engine = "worker",
			                                     .task = &sent,
			                                     .task_len = sizeof sent)) <= 0;
		}
		if (prong_wait(pool, &event, -1) != 1)
			break;
		if (event->type != PRONG_DONE)
			continue;
		if (event->len == sizeof sum)
			sum += *(const uint64_t *)event->data;
		else
			bad++; /* event->result says how that task, and only that one, ended */
	}
	printf("sum of the squares up to %llu: %llu\n", (unsigned long long)n,
	       (unsigned long long)sum);
	prong_close(pool);
	return bad > 0;
}
