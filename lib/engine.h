/* engine.h - what a pool needs of an engine, and the engines there are.  Private.
 *
 * An engine starts jobs, waits for what happens to them, and keeps the clock.  Nothing
 * here assumes that a job has a process on this machine: see the virtual-time engine of
 * the tests, tests/unit/engine-fake.c. */
#ifndef LIB_ENGINE_H
#define LIB_ENGINE_H

#include "pool.h"

extern const struct engine_ops pr_engine_local;

#endif
