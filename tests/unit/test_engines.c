/* test_engines.c - the same cases on every engine: what a job does is a value, and each
 * engine runs it in its own way.  What a host may rely on must not depend on the engine. */
#include "engine-fake.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

/* What a job does: sleep, say something, then exit or die by a signal. */
struct act {
	int ms, status, sig;
	const char *say;
	int64_t timeout_ms, backoff_ms;
	unsigned tries;
	int good_from; /* from this attempt on, status 0; 0: never */
};

struct engine {
	const char *name;
	struct prong *(*open)(unsigned jobs);
	int64_t (*submit)(struct prong *p, const struct act *a, void *tag);
	bool says;     /* what it says can be read */
	bool children; /* it has some on this machine */
	bool starts;   /* it tells STARTED */
};

/* ---- functions: in a fresh fork, and in a standing worker ---- */

struct order {
	int ms, status, sig, good_from;
	char say[32];
};

static int behave(struct prong_task *t)
{
	struct order o;
	memcpy(&o, t->data, sizeof o);
	if (o.ms)
		nanosleep(&(struct timespec){ o.ms / 1000, o.ms % 1000 * 1000000L }, NULL);
	prong_reply(t, o.say, strlen(o.say));
	if (o.sig)
		kill(getpid(), o.sig);
	return o.good_from && t->attempt >= (unsigned)o.good_from ? 0 : o.status;
}

static struct prong *open_real(unsigned jobs)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = jobs };
	assert_int_equal(prong_open(&p, &o), 0);
	return p;
}

static int64_t submit_work(struct prong *p, const struct act *a, void *tag, const char *engine)
{
	struct order o = { .ms = a->ms, .status = a->status, .sig = a->sig,
		           .good_from = a->good_from };
	snprintf(o.say, sizeof o.say, "%s", a->say ? a->say : "");
	return prong_submit(p, PRONG_SPEC(.work = behave, .task = &o, .task_len = sizeof o,
	                                  .engine = engine, .timeout_ms = a->timeout_ms,
	                                  .tries = a->tries, .backoff_ms = a->backoff_ms,
	                                  .tag = tag));
}

static int64_t submit_fork(struct prong *p, const struct act *a, void *tag)
{
	return submit_work(p, a, tag, NULL);
}

static int64_t submit_worker(struct prong *p, const struct act *a, void *tag)
{
	return submit_work(p, a, tag, "worker");
}

/* ---- commands ---- */

static char mark_dir[] = "/tmp/prong-engines-XXXXXX";

static int64_t submit_command(struct prong *p, const struct act *a, void *tag)
{
	static int number;
	char text[512], again[200] = "";
	if (a->good_from) /* it counts its attempts in a file */
		snprintf(again, sizeof again,
		         "f=%s/%d; echo >>$f; test $(wc -l <$f) -ge %d && exit 0;", mark_dir,
		         number++, a->good_from);
	snprintf(text, sizeof text, "%ssleep %d.%03d; printf %%s '%s'; %s kill -%d $$; exit %d",
	         a->ms ? "" : ": ", a->ms / 1000, a->ms % 1000, a->say ? a->say : "", again,
	         a->sig ? a->sig : 0, a->status);
	char *argv[] = { "sh", "-c", text, NULL };
	return prong_submit(p, PRONG_SPEC(.argv = argv, .timeout_ms = a->timeout_ms,
	                                  .tries = a->tries, .backoff_ms = a->backoff_ms,
	                                  .tag = tag));
}

/* ---- the fake ---- */

static struct fake the_fake;
static struct act acts[4096]; /* by id */

static struct fate fate_of(struct fake *f, const struct job *j)
{
	const struct act *a = &acts[j->id];
	(void)f;
	bool good = a->good_from && j->attempt >= (unsigned)a->good_from;
	return (struct fate){ .ms = a->ms, .status = good ? 0 : a->status, .sig = a->sig,
		              .term_ms = 1 };
}

static struct prong *open_fake(unsigned jobs)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = jobs };
	memset(&the_fake, 0, sizeof the_fake);
	the_fake.fate = fate_of;
	assert_int_equal(pr_open_engine(&p, &o, &engine_fake, &the_fake), 0);
	return p;
}

static int64_t submit_fake(struct prong *p, const struct act *a, void *tag)
{
	char *argv[] = { "job", NULL };
	int64_t id = prong_submit(p, PRONG_SPEC(.argv = argv, .timeout_ms = a->timeout_ms,
	                                        .tries = a->tries,
	                                        .backoff_ms = a->backoff_ms, .tag = tag));
	assert_in_range(id, 1, 4095);
	acts[id] = *a;
	return id;
}

static struct engine engines[] = {
	{ "fork", open_real, submit_fork, true, true, true },
	{ "worker", open_real, submit_worker, true, true, false },
	{ "command", open_real, submit_command, true, true, true },
	{ "fake", open_fake, submit_fake, false, false, true },
};

/* ---- helpers ---- */

static void close_engine(const struct engine *e, struct prong *p)
{
	prong_close(p);
	if (e->children)
		assert_no_children();
}

static int64_t submit(const struct engine *e, struct prong *p, struct act a)
{
	int64_t id = e->submit(p, &a, NULL);
	assert_true(id > 0);
	return id;
}

/* ---- the cases ---- */

static void every_status(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(4);
	static const int codes[] = { 0, 1, 2, 42, 125, 126, 127, 128, 255 };
	static int tags[countof(codes)];
	int seen = 0;
	for (size_t i = 0; i < countof(codes); i++) {
		struct act a = { .status = codes[i] };
		tags[i] = codes[i];
		assert_true(e->submit(p, &a, &tags[i]) > 0);
	}
	for (const struct prong_event *ev; (ev = next_done(p)); seen++) {
		assert_int_equal(ev->result->how, PRONG_EXITED);
		assert_int_equal(ev->result->status, *(int *)ev->tag);
		assert_int_equal(ev->result->attempt, 1);
		assert_in_range(ev->slot, 1, 4);
		assert_true(ev->result->end_ns >= ev->result->start_ns);
		if (e->children)
			assert_true(ev->result->pid > 0);
	}
	assert_int_equal(seen, countof(codes));
	assert_int_equal(prong_running(p), 0);
	close_engine(e, p);
}

static void death_has_a_name(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(2);
	static const int sigs[] = { SIGKILL, SIGTERM, SIGUSR1, SIGHUP };
	for (size_t i = 0; i < countof(sigs); i++) {
		submit(e, p, (struct act){ .sig = sigs[i] });
		submit(e, p, (struct act){ .status = 3 });
		int killed = 0, fine = 0;
		for (const struct prong_event *ev; (ev = next_done(p));)
			if (ev->result->how == PRONG_SIGNALED)
				killed += ev->result->status == sigs[i];
			else
				fine += ev->result->how == PRONG_EXITED && ev->result->status == 3;
		assert_int_equal(killed, 1);
		assert_int_equal(fine, 1);
	}
	close_engine(e, p);
}

static void each_ends_once(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(3);
	enum { N = 300 };
	static unsigned char seen[N + 1];
	memset(seen, 0, sizeof seen);
	for (int i = 0; i < N; i++)
		submit(e, p, (struct act){ .status = i % 5, .sig = i % 50 == 7 ? SIGKILL : 0 });
	for (const struct prong_event *ev; (ev = next_done(p));) {
		assert_in_range(ev->id, 1, N);
		assert_int_equal(seen[ev->id]++, 0);
		int i = (int)ev->id - 1;
		assert_int_equal(ev->result->how, i % 50 == 7 ? PRONG_SIGNALED : PRONG_EXITED);
		assert_int_equal(ev->result->status, i % 50 == 7 ? SIGKILL : i % 5);
	}
	for (int i = 1; i <= N; i++)
		assert_int_equal(seen[i], 1);
	close_engine(e, p);
}

static void never_more_than_n(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(3);
	const struct prong_event *ev;
	unsigned most = 0;
	int done = 0;
	for (int i = 0; i < 30; i++)
		submit(e, p, (struct act){ .ms = 5 });
	while (prong_wait(p, &ev, 60000) == 1) {
		unsigned n = prong_running(p);
		assert_true(n <= 3);
		most = n > most ? n : most;
		done += ev->type == PRONG_DONE;
	}
	assert_int_equal(done, 30);
	assert_true(most >= 2);
	close_engine(e, p);
}

static void timeouts_end_the_job_alone(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(2);
	int64_t slow = submit(e, p, (struct act){ .ms = 60000, .timeout_ms = 80 });
	int fine = 0, late = 0;
	for (int i = 0; i < 20; i++)
		submit(e, p, (struct act){ .ms = 10, .timeout_ms = 30000 });
	for (const struct prong_event *ev; (ev = next_done(p));)
		if (ev->id == slow)
			late += ev->result->how == PRONG_TIMEDOUT;
		else
			fine += ev->result->how == PRONG_EXITED && ev->result->status == 0;
	assert_int_equal(late, 1);
	assert_int_equal(fine, 20);
	close_engine(e, p);
}

static void a_stopped_job_is_cancelled_alone(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(2);
	const struct prong_event *ev;
	int64_t runs = submit(e, p, (struct act){ .ms = 60000 });
	int64_t waits = 0;
	for (int i = 0; i < 40; i++) {
		int64_t id = submit(e, p, (struct act){ .ms = 2 });
		waits = i == 30 ? id : waits;
	}
	assert_int_equal(prong_wait(p, &ev, 60000), 1); /* they run */
	assert_int_equal(prong_stop(p, waits), 0);
	assert_int_equal(prong_stop(p, runs), 0);
	assert_int_equal(prong_stop(p, 4711), -ESRCH);
	int cancelled = 0, fine = ev->type == PRONG_DONE;
	while ((ev = next_done(p)))
		if (ev->id == runs || ev->id == waits)
			cancelled += ev->result->how == PRONG_CANCELLED;
		else
			fine += ev->result->how == PRONG_EXITED && ev->result->status == 0;
	assert_int_equal(cancelled, 2);
	assert_int_equal(fine, 39);
	close_engine(e, p);
}

static void stop_all(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(3);
	const struct prong_event *ev;
	int cancelled = 0;
	for (int i = 0; i < 50; i++)
		submit(e, p, (struct act){ .ms = 60000 });
	prong_wait(p, &ev, 50);
	assert_int_equal(prong_stop(p, 0), 0);
	assert_int_equal(prong_stop(p, 0), 0);
	while ((ev = next_done(p)))
		cancelled += ev->result->how == PRONG_CANCELLED;
	assert_int_equal(cancelled, 50);
	close_engine(e, p);
}

static void tries_until_it_works(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(2);
	const struct prong_event *ev;
	int retries = 0, done = 0;
	submit(e, p, (struct act){ .status = 9, .good_from = 3, .tries = 5, .backoff_ms = 5 });
	submit(e, p, (struct act){ .status = 8, .tries = 2 });
	while (prong_wait(p, &ev, 60000) == 1) {
		retries += ev->type == PRONG_RETRY;
		if (ev->type != PRONG_DONE)
			continue;
		done++;
		assert_int_equal(ev->result->status, ev->id == 1 ? 0 : 8);
		assert_int_equal(ev->result->attempt, ev->id == 1 ? 3 : 2);
	}
	assert_int_equal(retries, 3);
	assert_int_equal(done, 2);
	close_engine(e, p);
}

static void a_killed_job_is_tried_again(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(1);
	const struct prong_event *ev;
	int retries = 0;
	submit(e, p, (struct act){ .sig = SIGKILL, .tries = 3 });
	while (prong_wait(p, &ev, 60000) == 1) {
		retries += ev->type == PRONG_RETRY && ev->result->how == PRONG_SIGNALED;
		if (ev->type == PRONG_DONE)
			assert_int_equal(ev->result->attempt, 3);
	}
	assert_int_equal(retries, 2);
	close_engine(e, p);
}

static void what_it_says_arrives(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(2);
	char buf[32] = "";
	if (!e->says) {
		prong_close(p);
		skip();
	}
	submit(e, p, (struct act){ .say = "hello there", .status = 4 });
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->status, 4);
	if (ev->result->res.fd >= 0 || !ev->result->out.len) {
		assert_int_equal(ev->len, 11); /* a function's reply */
		assert_memory_equal(ev->data, "hello there", 11);
	} else {
		assert_int_equal(pread(ev->result->out.fd, buf, sizeof buf, 0), 11);
		assert_string_equal(buf, "hello there");
	}
	close_engine(e, p);
}

static void looking_does_not_block(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(1);
	const struct prong_event *ev;
	assert_int_equal(prong_wait(p, &ev, 0), -ECHILD);
	assert_int_equal(prong_room(p), 1);
	submit(e, p, (struct act){ .ms = 300 });
	int n = 0, r;
	while ((r = prong_wait(p, &ev, 0)) == 1)
		assert_int_equal(ev->type, PRONG_STARTED);
	assert_int_equal(r, 0);
	assert_int_equal(prong_running(p), 1);
	assert_int_equal(prong_room(p), 0);
	for (; (ev = next_done(p)); n++)
		;
	assert_int_equal(n, 1);
	assert_int_equal(prong_wait(p, &ev, -1), -ECHILD);
	close_engine(e, p);
}

static void resize(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(1);
	const struct prong_event *ev;
	int done = 0;
	unsigned most = 0;
	for (int i = 0; i < 120; i++)
		submit(e, p, (struct act){ .ms = 3 });
	while (prong_wait(p, &ev, 60000) == 1) {
		done += ev->type == PRONG_DONE;
		if (done == 10)
			assert_int_equal(prong_resize(p, 5), 0);
		if (done == 70)
			assert_int_equal(prong_resize(p, 2), 0);
		most = prong_running(p) > most ? prong_running(p) : most;
		if (done > 110)
			assert_true(prong_running(p) <= 2);
	}
	assert_int_equal(done, 120);
	assert_in_range(most, 3, 5);
	close_engine(e, p);
}

static void closing_kills_what_runs(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(3);
	const struct prong_event *ev;
	for (int i = 0; i < 20; i++)
		submit(e, p, (struct act){ .ms = i % 2 ? 60000 : 1 });
	for (int i = 0; i < 5; i++)
		prong_wait(p, &ev, 20);
	close_engine(e, p);
}

static void in_order_with_one_slot(void **state)
{
	const struct engine *e = *state;
	struct prong *p = e->open(1);
	int64_t last = 0;
	for (int i = 0; i < 40; i++)
		submit(e, p, (struct act){ .status = i & 1 });
	for (const struct prong_event *ev; (ev = next_done(p)); last = ev->id)
		assert_int_equal(ev->id, last + 1);
	assert_int_equal(last, 40);
	close_engine(e, p);
}

/* ---- one cmocka test for each case and engine ---- */

static const struct {
	const char *name;
	CMUnitTestFunction run;
} cases[] = {
	{ "every_status", every_status },
	{ "death_has_a_name", death_has_a_name },
	{ "each_ends_once", each_ends_once },
	{ "never_more_than_n", never_more_than_n },
	{ "timeouts_end_the_job_alone", timeouts_end_the_job_alone },
	{ "a_stopped_job_is_cancelled_alone", a_stopped_job_is_cancelled_alone },
	{ "stop_all", stop_all },
	{ "tries_until_it_works", tries_until_it_works },
	{ "a_killed_job_is_tried_again", a_killed_job_is_tried_again },
	{ "what_it_says_arrives", what_it_says_arrives },
	{ "looking_does_not_block", looking_does_not_block },
	{ "resize", resize },
	{ "closing_kills_what_runs", closing_kills_what_runs },
	{ "in_order_with_one_slot", in_order_with_one_slot },
};

int main(void)
{
	static struct CMUnitTest tests[countof(cases) * countof(engines)];
	static char names[countof(tests)][64];
	size_t n = 0;
	if (!mkdtemp(mark_dir))
		return 1;
	for (size_t e = 0; e < countof(engines); e++)
		for (size_t c = 0; c < countof(cases); c++, n++) {
			snprintf(names[n], sizeof names[n], "%s: %s", engines[e].name, cases[c].name);
			tests[n] = (struct CMUnitTest){ names[n], cases[c].run, NULL, NULL,
				                        &engines[e] };
		}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	char rm[64];
	snprintf(rm, sizeof rm, "rm -r %s", mark_dir);
	return failed || system(rm) != 0;
}
