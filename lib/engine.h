/* engine.h - what a pool needs of an engine, and the engines there are.  Private.
 *
 * An engine starts jobs, waits for what happens to them, and keeps the clock.  Nothing
 * here assumes that a job has a process on this machine: see the virtual-time engine of
 * the tests, tests/unit/engine-fake.c. */
#ifndef LIB_ENGINE_H
#define LIB_ENGINE_H

#include "pool.h"

extern const struct engine_ops pr_engine_local;

/* For engine-local.c's prong_fd(), prong_watch() and prong_wake(). */
int pr_local_fd(struct prong *p);
int pr_local_watch(struct prong *p, int fd, bool on, void *tag);
int pr_local_wake(struct prong *p);

#endif
