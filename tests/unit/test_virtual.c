/* test_virtual.c - pool and policy with many jobs, no processes and no real time. */
#include "engine-fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 100000 };

static char *argv_[] = { "job", NULL };

static struct prong *open_fake(struct fake *f, unsigned jobs)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = jobs };
	assert_int_equal(pr_open_engine(&p, &o, &engine_fake, f), 0);
	return p;
}

static int64_t submit(struct prong *p, void *tag)
{
	int64_t id = prong_submit(p, PRONG_SPEC(.argv = argv_, .tag = tag));
	assert_true(id > 0);
	return id;
}

/* Durations that look random and are the same in every run. */
static struct fate mixed(struct fake *f, const struct job *j)
{
	uint32_t x = (uint32_t)j->id * 2654435761u;
	(void)f;
	return (struct fate){ .ms = 1 + (x >> 8) % 97, .status = x % 11 == 0 };
}

static void hundred_thousand_jobs(void **state)
{
	struct fake f = { .fate = mixed };
	struct prong *p = open_fake(&f, 7);
	const struct prong_event *ev;
	static unsigned char seen[MANY + 1];
	int64_t work = 0, failed = 0, last_start = 0;
	int submitted = 0, done = 0;
	(void)state;
	while (submitted < MANY || done < MANY) {
		while (submitted < MANY && prong_room(p))
			submitted += submit(p, NULL) > 0;
		assert_int_equal(prong_wait(p, &ev, -1), 1);
		if (ev->type == PRONG_STARTED) {
			assert_true(ev->id > last_start); /* in the order of submission */
			last_start = ev->id;
			continue;
		}
		assert_int_equal(ev->type, PRONG_DONE);
		assert_int_equal(seen[ev->id]++, 0); /* once */
		struct job j = { .id = ev->id };
		struct fate fate = mixed(&f, &j);
		assert_int_equal(ev->result->status, fate.status);
		work += fate.ms;
		failed += ev->result->status;
		done++;
	}
	assert_int_equal(prong_wait(p, &ev, -1), -ECHILD);
	assert_int_equal(f.most, 7);
	assert_true(failed > 0);
	/* Graham's bound: no slot was idle while jobs waited. */
	int64_t ms = f.now / PR_MS;
	assert_true(ms >= work / 7 && ms <= work / 7 + 100);
	prong_close(p);
}

static struct fate slow(struct fake *f, const struct job *j)
{
	(void)f, (void)j;
	return (struct fate){ .ms = 10000, .term_ms = 5 };
}

static void timeouts_are_on_time(void **state)
{
	struct fake f = { .fate = slow };
	struct prong *p = open_fake(&f, 3);
	const struct prong_event *ev;
	(void)state;
	for (int i = 0; i < 9; i++)
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv_, .timeout_ms = 1000)) > 0);
	int done = 0;
	while (prong_wait(p, &ev, -1) == 1)
		if (ev->type == PRONG_DONE) {
			assert_int_equal(ev->result->how, PRONG_TIMEDOUT);
			assert_int_equal(ev->result->status, SIGTERM);
			done++;
		}
	assert_int_equal(done, 9);
	assert_int_equal(f.now / PR_MS, 1 + 3 * 1005);
	prong_close(p);
}

static struct fate third_time(struct fake *f, const struct job *j)
{
	(void)f;
	return (struct fate){ .ms = 10, .status = j->attempt < 3 };
}

static void tries_and_their_pauses(void **state)
{
	struct fake f = { .fate = third_time };
	struct prong *p = open_fake(&f, 1);
	const struct prong_event *ev;
	int retries = 0, done = 0;
	(void)state;
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv_, .tries = 5, .backoff_ms = 100)) > 0);
	while (prong_wait(p, &ev, -1) == 1) {
		retries += ev->type == PRONG_RETRY;
		if (ev->type == PRONG_DONE) {
			assert_int_equal(ev->result->attempt, 3);
			assert_int_equal(ev->result->status, 0);
			done++;
		}
	}
	assert_int_equal(retries, 2);
	assert_int_equal(done, 1);
	assert_int_equal(f.now / PR_MS, 1 + 3 * 10 + 2 * 100);
	prong_close(p);
}

/* The system has room for two processes only, and at first for none. */
static struct fate crowded(struct fake *f, const struct job *j)
{
	int *refusals = f->arg;
	(void)j;
	if (f->nrun < 2 && (f->starts || *refusals > 3))
		return (struct fate){ .ms = 10 };
	++*refusals;
	return (struct fate){ .error = -EAGAIN };
}

static void no_room_in_the_system_loses_nothing(void **state)
{
	int refusals = 0, done = 0;
	struct fake f = { .fate = crowded, .arg = &refusals };
	struct prong *p = open_fake(&f, 8);
	const struct prong_event *ev;
	(void)state;
	for (int i = 0; i < 500; i++)
		submit(p, NULL);
	while (prong_wait(p, &ev, -1) == 1)
		if (ev->type == PRONG_DONE) {
			assert_int_equal(ev->result->how, PRONG_EXITED);
			assert_int_equal(ev->result->attempt, 1);
			done++;
		}
	assert_int_equal(done, 500);
	assert_int_equal(f.most, 2);
	assert_true(refusals > 4);
	assert_true(f.waits < 5000); /* it waited, it did not spin */
	prong_close(p);
}

static struct fate missing(struct fake *f, const struct job *j)
{
	(void)f;
	return (struct fate){ .error = j->id % 2 ? -ENOENT : 0, .ms = 1 };
}

static void a_job_that_cannot_start_is_an_event(void **state)
{
	struct fake f = { .fate = missing };
	struct prong *p = open_fake(&f, 4);
	const struct prong_event *ev;
	int bad = 0, good = 0;
	(void)state;
	for (int i = 0; i < 100; i++)
		submit(p, NULL);
	while (prong_wait(p, &ev, -1) == 1)
		if (ev->type == PRONG_DONE && ev->result->how == PRONG_NOTSTARTED)
			bad += ev->result->status == ENOENT;
		else
			good += ev->type == PRONG_DONE;
	assert_int_equal(bad, 50);
	assert_int_equal(good, 50);
	prong_close(p);
}

static void resizing_takes_effect(void **state)
{
	struct fake f = { .fate = mixed };
	struct prong *p = open_fake(&f, 2);
	const struct prong_event *ev;
	int done = 0;
	(void)state;
	for (int i = 0; i < 1000; i++)
		submit(p, NULL);
	while (prong_wait(p, &ev, -1) == 1) {
		done += ev->type == PRONG_DONE;
		if (done == 100)
			assert_int_equal(prong_resize(p, 50), 0);
		if (done == 500)
			assert_int_equal(prong_resize(p, 1), 0);
		if (done > 560)
			assert_true(prong_running(p) <= 1);
	}
	assert_int_equal(done, 1000);
	assert_int_equal(f.most, 50);
	prong_close(p);
}

static void stopping_ends_everything_once(void **state)
{
	struct fake f = { .fate = slow };
	struct prong *p = open_fake(&f, 5);
	const struct prong_event *ev;
	int done = 0;
	(void)state;
	for (int i = 0; i < 1000; i++)
		submit(p, NULL);
	while (prong_running(p) < 5)
		assert_int_equal(prong_wait(p, &ev, -1), 1);
	assert_int_equal(prong_stop(p, 0), 0);
	assert_int_equal(prong_stop(p, 0), 0); /* asking twice changes nothing */
	assert_int_equal(prong_stop(p, 4711), -ESRCH);
	while (prong_wait(p, &ev, -1) == 1)
		if (ev->type == PRONG_DONE) {
			assert_int_equal(ev->result->how, PRONG_CANCELLED);
			done++;
		}
	assert_int_equal(done, 1000);
	assert_int_equal(f.starts, 5);
	prong_close(p);
}

/* Anything a host may do, in any order: every job ends exactly once. */
static void random_hosts(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct fake f = { .fate = mixed };
		struct prong *p = open_fake(&f, 1 + seed % 9);
		const struct prong_event *ev;
		int64_t submitted = 0, done = 0;
		unsigned x = seed;
		for (int i = 0; i < 2000; i++) {
			x = x * 1103515245u + 12345u;
			unsigned what = x >> 16 & 15;
			if (what < 6)
				submitted = submit(p, NULL);
			else if (what == 6)
				prong_stop(p, 1 + (int64_t)(x >> 20) % (submitted + 1));
			else if (what == 7)
				prong_resize(p, 1 + (x >> 20) % 12);
			else if (prong_wait(p, &ev, what == 8 ? 0 : 5) == 1)
				done += ev->type == PRONG_DONE;
		}
		while (prong_wait(p, &ev, -1) == 1)
			done += ev->type == PRONG_DONE;
		assert_int_equal(done, submitted);
		assert_int_equal(prong_running(p), 0);
		prong_close(p);
	}
}

/* Several ends, in any order, between two jobs: numbers stay 1..jobs, also once there are fewer,
 * and are foretold. */
static void slots_are_the_lowest(void **state)
{
	struct fake f = { .fate = mixed };
	struct prong *p = open_fake(&f, 9);
	const struct prong_event *ev;
	int left = 2000, limit = 9;
	(void)state;
	do {
		while (left && prong_room(p) && !(left == 1000 && limit > 2)) {
			uintptr_t slot = prong_next_slot(p);
			assert_in_range(slot, 1, limit);
			submit(p, (void *)slot);
			left--;
		}
		assert_int_equal(prong_wait(p, &ev, -1), 1);
		assert_int_equal(ev->slot, (uintptr_t)ev->tag);
		if (left == 1000 && limit > 2 && !prong_running(p))
			assert_int_equal(prong_resize(p, limit = 2), 0);
	} while (left || prong_running(p));
	prong_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hundred_thousand_jobs),
		cmocka_unit_test(timeouts_are_on_time),
		cmocka_unit_test(tries_and_their_pauses),
		cmocka_unit_test(no_room_in_the_system_loses_nothing),
		cmocka_unit_test(a_job_that_cannot_start_is_an_event),
		cmocka_unit_test(resizing_takes_effect),
		cmocka_unit_test(slots_are_the_lowest),
		cmocka_unit_test(stopping_ends_everything_once),
		cmocka_unit_test(random_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
