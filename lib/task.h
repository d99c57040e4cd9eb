/* task.h - a task as the child that runs it sees it.  Private. */
#ifndef LIB_TASK_H
#define LIB_TASK_H

#include "pool.h"

/* The public part first: prong_reply() gets a pointer to it. */
struct task {
	struct prong_task pub;
	/* Make the reply longer by n bytes; where they begin, or NULL. */
	void *(*more)(struct task *t, size_t n);
	size_t len;      /* of the reply yet */
	char *buf;       /* in a fresh fork: what is not written yet */
	size_t cap;
};

#endif
