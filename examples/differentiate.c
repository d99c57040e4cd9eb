/* differentiate.c - parent and children told apart: who am I, and which child? */
#include <prong.h>
#include <stdio.h>
#include <unistd.h>

enum { NUM_PROCESSES = 7 };

int main(void)
{
	struct prong *pool;
	const struct prong_event *event;
	int failed = 0;
	if (prong_open(&pool, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                               .jobs = NUM_PROCESSES }) != 0)
		return 1;
	printf("the parent is %d\n", (int)getpid()); /* printed once: stdio is flushed first */
	for (int i = 0; i < NUM_PROCESSES; i++) {
		int64_t id;
		PRONG_CHILD(pool, NULL, id) { /* only a child is in here, and it never leaves */
			printf("child %d is %d, of parent %d\n", i, (int)getpid(), (int)getppid());
			prong_leave(i);
		}
		if (id < 0) {
			fprintf(stderr, "fork: %s\n", prong_strerror((int)id));
			failed++;
		}
	}
	while (prong_wait(pool, &event, -1) == 1) { /* only the parent comes here */
		if (event->type != PRONG_DONE)
			continue;
		printf("child number %lld ended with status %d\n", (long long)event->id,
		       event->result->status);
		failed += event->result->how != PRONG_EXITED;
	}
	prong_close(pool);
	return failed > 0;
}
