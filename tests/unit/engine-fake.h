/* engine-fake.h - an engine without processes: time is a number, jobs are a table's rows. */
#ifndef TESTS_ENGINE_FAKE_H
#define TESTS_ENGINE_FAKE_H

#include <engine.h>

/* What happens to a job; decided by the test when it starts. */
struct fate {
	int error;       /* start() answers this (-EAGAIN, -ENOENT ...) */
	int64_t ms;      /* how long it runs */
	int status;      /* exit code */
	int sig;         /* or it dies by this signal */
	int64_t term_ms; /* how long it takes to obey a stop */
};

struct fake {
	struct fate (*fate)(struct fake *f, const struct job *j);
	void *arg;
	int64_t now;           /* nanoseconds */
	unsigned most;         /* jobs that ran at once, at most */
	uint64_t starts, waits;
	struct { struct slot *slot; int64_t end; int status, sig; } *run;
	unsigned nrun, cap;
};

extern const struct engine_ops engine_fake;

#endif
