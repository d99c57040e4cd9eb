/* test_misuse.c - prong.h read by somebody who means no good: every error it documents, and
 * calls in states and with values that nobody would choose. */
#include <prong.h>

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

static char *sleeper[] = { "sleep", "100", NULL };
static char *fine[] = { "true", NULL };

static int nothing(struct prong_task *t)
{
	(void)t;
	return 0;
}

static int sleeps(struct prong_task *t)
{
	(void)t;
	sleep(100);
	return 0;
}

static int fn(void *arg, int fd)
{
	(void)arg;
	return write(fd, "result", 6) == 6 ? 0 : 1;
}

static int open_with(struct prong_options o)
{
	struct prong *p = NULL;
	o.size = o.size ? o.size : sizeof o;
	int e = prong_open(&p, &o);
	if (e == 0)
		prong_close(p);
	else
		assert_null(p);
	return e;
}

static void pools_that_cannot_be(void **state)
{
	(void)state;
	assert_int_equal(prong_open(NULL, NULL), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .size = 1 }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .size = 10000 }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .flags = 1u << 31 }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .termseq = "" }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .termseq = "TERM,-1" }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .termseq = "0" }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .window = 1025 }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .jobs = UINT_MAX }), -EINVAL);
	assert_int_equal(open_with((struct prong_options){ .termseq = "TERM,99,KILL" }), 0);
	prong_close(NULL);
}

static int64_t submit(struct prong *p, struct prong_spec s)
{
	s.size = s.size ? s.size : sizeof s;
	return prong_submit(p, &s);
}

#define REFUSED(...) assert_int_equal(submit(p, (struct prong_spec){ __VA_ARGS__ }), -EINVAL)

static void jobs_that_cannot_be(void **state)
{
	struct prong *p = open_pool(1);
	char *empty[] = { NULL };
	(void)state;
	assert_int_equal(prong_submit(p, NULL), -EINVAL);
	REFUSED(0);
	REFUSED(.size = 8, .argv = fine);
	REFUSED(.size = 100000, .argv = fine);
	REFUSED(.argv = empty);
	REFUSED(.argv = fine, .fn = fn);
	REFUSED(.fn = fn, .work = nothing);
	REFUSED(.argv = fine, .task = "x", .task_len = 1);
	REFUSED(.work = nothing, .task_len = 1);
	for (int borrow = 0; borrow < 2; borrow++) { /* the length that a failed read() gives */
		unsigned flags = borrow ? PRONG_BORROW : 0;
		REFUSED(.work = nothing, .task = "x", .task_len = (size_t)-1, .flags = flags);
		REFUSED(.work = nothing, .task = "x", .task_len = (size_t)-1, .flags = flags,
		        .engine = "worker");
	}
	REFUSED(.argv = fine, .flags = PRONG_BORROW);
	REFUSED(.argv = fine, .flags = 1u << 31);
	REFUSED(.argv = fine, .engine = "no such engine");
	REFUSED(.argv = fine, .engine = "worker");
	REFUSED(.fn = fn, .engine = "worker");
	REFUSED(.engine = "worker");
	REFUSED(.work = nothing, .engine = "worker", .cwd = "/");
	REFUSED(.work = nothing, .engine = "worker", .setenv = fine);
	REFUSED(.work = nothing, .engine = "worker", .nice = 1);
	REFUSED(.work = nothing, .engine = "worker", .out.how = PRONG_FILE);
	REFUSED(.work = nothing, .engine = "worker", .flags = PRONG_SWEEP);
	REFUSED(.work = nothing, .engine = "worker", .task_len = 3);
	REFUSED(.argv = fine, .work = nothing);
	REFUSED(.argv = fine, .timeout_ms = -1);
	REFUSED(.argv = fine, .backoff_ms = INT64_MIN);
	REFUSED(.argv = fine, .termseq = "NO,1");
	REFUSED(.argv = fine, .npass_fds = 1);
	REFUSED(.argv = fine, .in.how = PRONG_PIPE);
	REFUSED(.argv = fine, .out.how = PRONG_MERGE);
	REFUSED(.argv = fine, .err.how = 99);
	REFUSED(.argv = fine, .out.how = PRONG_FD, .out.fd = -1);
	assert_null(next_done(p)); /* nothing changed */
	close_pool(p);
}

static void calls_that_cannot_be(void **state)
{
	struct prong *p = open_pool(1);
	const struct prong_event *ev;
	(void)state;
	assert_int_equal(prong_wait(p, &ev, 0), -ECHILD);
	assert_int_equal(prong_wait(p, NULL, 0), -EINVAL);
	assert_int_equal(prong_resize(p, 0), -EINVAL);
	assert_int_equal(prong_resize(p, UINT_MAX), -EINVAL);
	for (int stream = -1; stream < 5; stream++)
		assert_int_equal(prong_take(p, stream), -EINVAL);
	int64_t ids[] = { 1, -1, INT64_MAX, INT64_MIN };
	for (int i = 0; i < 4; i++) {
		assert_int_equal(prong_stop(p, ids[i]), -ESRCH);
		assert_int_equal(prong_signal(p, ids[i], SIGTERM), -ESRCH);
	}
	assert_int_equal(prong_signal(p, 0, -1), -EINVAL);
	assert_int_equal(prong_signal(p, 0, NSIG), -EINVAL);
	assert_int_equal(prong_stop(p, 0), 0);
	assert_int_equal(prong_watch(p, -1, PRONG_READ, NULL), -EBADF);
	assert_int_equal(prong_watch(p, 0, 99, NULL), -EINVAL);
	assert_int_equal(prong_watch(p, 0, 0, NULL), -ENOENT);
	assert_int_equal(prong_fork(p, PRONG_SPEC(.argv = fine)), -EINVAL);
	assert_int_equal(prong_fork(p, PRONG_SPEC(.tries = 2)), -EINVAL);
	close_pool(p);
}

static void no_pool_at_all(void **state)
{
	const struct prong_event *ev;
	struct prong *p = (struct prong *)(uintptr_t)1; /* as if never set */
	struct prong_options bad = { .size = 1 };
	(void)state;
	assert_int_equal(prong_open(&p, &bad), -EINVAL);
	assert_null(p); /* prong_close() takes it */
	assert_int_equal(prong_submit(NULL, PRONG_SPEC(.argv = fine)), -EINVAL);
	assert_int_equal(prong_fork(NULL, NULL), -EINVAL);
	assert_int_equal(prong_wait(NULL, &ev, 0), -EINVAL);
	assert_int_equal(prong_take(NULL, 1), -EINVAL);
	assert_int_equal(prong_stop(NULL, 0), -EINVAL);
	assert_int_equal(prong_signal(NULL, 0, SIGTERM), -EINVAL);
	assert_int_equal(prong_resize(NULL, 5), -EINVAL);
	assert_int_equal(prong_fd(NULL), -EINVAL);
	assert_int_equal(prong_watch(NULL, 0, PRONG_READ, NULL), -EINVAL);
	assert_int_equal(prong_wake(NULL), -EINVAL);
	assert_int_equal(prong_room(NULL), 0);
	assert_int_equal(prong_task_room(NULL), 0);
	assert_int_equal(prong_next_slot(NULL), 0);
	assert_int_equal(prong_running(NULL), 0);
	assert_int_equal(prong_ending(NULL), 0);
	assert_int_equal(prong_reply(NULL, "x", 1), -EINVAL);
	assert_null(prong_reply_room(NULL, 1));
	prong_fell_out(NULL);
}

static void names_of_nothing(void **state)
{
	(void)state;
	int odd[] = { INT_MIN, -99999, -1, 0, 1, 99999, INT_MAX };
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		assert_non_null(prong_strerror(odd[i]));
		assert_non_null(prong_step_name(odd[i]));
	}
	assert_string_equal(prong_strerror(-ENOENT), prong_strerror(ENOENT));
	assert_string_not_equal(prong_strerror(INT_MIN), "");
	for (int step = PRONG_STEP_CAPTURE; step <= PRONG_STEP_INIT; step++)
		assert_string_not_equal(prong_step_name(step), "unknown");
	assert_null(prong_signal_name(0));
	assert_null(prong_signal_name(-1));
	assert_string_equal(prong_signal_name(SIGKILL), "KILL");
	assert_int_equal(prong_version(), PRONG_VERSION);
}

static int never(size_t i, const void *in, void *out, void *arg)
{
	(void)i, (void)in, (void)out, (void)arg;
	return 0;
}

static void arrays_that_cannot_be(void **state)
{
	struct prong_map small = { .size = 8, .fn = never, .n = 1 };
	(void)state;
	assert_int_equal(prong_map(NULL), -EINVAL);
	assert_int_equal(prong_map(&small), -EINVAL);
	assert_int_equal(prong_map(PRONG_MAP(.n = 1)), -EINVAL);
	assert_int_equal(prong_map(PRONG_MAP(.n = 1, .fn = never, .flags = 8)), -EINVAL);
	assert_int_equal(prong_map(PRONG_MAP(.n = 1, .fn = never, .timeout_ms = -1)), -EINVAL);
	assert_int_equal(prong_map(PRONG_MAP(.n = SIZE_MAX, .fn = never)), -EINVAL);
	assert_int_equal(prong_map(PRONG_MAP(.n = 3, .in_size = SIZE_MAX / 2, .fn = never)), -EINVAL);
	assert_int_equal(prong_map(PRONG_MAP(.n = 0, .fn = never)), 0);
	assert_int_equal(prong_map(PRONG_MAP(.n = 2, .fn = never, .timeout_ms = INT64_MAX)), 0);
	assert_int_equal(prong_for(1, NULL, NULL, 1), -EINVAL);
	prong_shared_free(NULL, 5);
	void *m = prong_shared(0);
	assert_non_null(m);
	prong_shared_free(m, 0);
	assert_null(prong_shared(SIZE_MAX / 2));
	assert_no_children();
}

/* A fork hook whose children never come to work: told, not tried for ever. */
static pid_t stillborn(void *arg)
{
	(void)arg;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid;
}

static void children_that_never_begin(void **state)
{
	unsigned char status[3] = { 0 };
	struct prong_options o = { .size = sizeof o, .fork = stillborn };
	(void)state;
	assert_int_equal(prong_map(PRONG_MAP(.n = 3, .fn = never, .jobs = 2, .status = status,
	                                     .options = &o)), -EAGAIN);
	for (int i = 0; i < 3; i++)
		assert_int_equal(status[i], PRONG_ITEM_UNDONE);
	assert_no_children();
}

static void a_map_writes_no_files(void **state)
{
	struct prong_options o = { .size = sizeof o, .tmpdir = "/no/such/dir" };
	(void)state;
	assert_int_equal(prong_map(PRONG_MAP(.n = 3, .fn = never, .options = &o)), 0);
}

static void a_map_that_cannot_begin_says_undone(void **state)
{
	unsigned char status[3] = { 0 };
	struct prong_options o = { .size = sizeof o, .termseq = "NO,1" };
	(void)state;
	assert_int_equal(prong_map(PRONG_MAP(.n = 3, .fn = never, .status = status,
	                                     .options = &o)), -EINVAL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(status[i], PRONG_ITEM_UNDONE);
}

/* Each kind of job, as long as it likes. */
static void centuries_are_no_time_limit(void **state)
{
	struct prong *p = open_pool(1);
	const struct prong_event *ev;
	(void)state;
	assert_true(prong_submit(p, PRONG_SPEC(.argv = fine, .timeout_ms = INT64_MAX)) > 0);
	assert_true(prong_submit(p, PRONG_SPEC(.work = nothing, .timeout_ms = INT64_MAX)) > 0);
	assert_true(prong_submit(p, PRONG_SPEC(.work = nothing, .engine = "worker",
	                                       .timeout_ms = INT64_MAX)) > 0);
	for (int i = 0; i < 3; i++) {
		assert_non_null(ev = next_done(p));
		assert_int_equal(ev->result->how, PRONG_EXITED);
		assert_int_equal(ev->result->status, 0);
	}
	char *fails[] = { "false", NULL };
	int64_t id = prong_submit(p, PRONG_SPEC(.argv = fails, .tries = 2, .backoff_ms = INT64_MAX));
	do
		assert_int_equal(prong_wait(p, &ev, 30000), 1);
	while (ev->type != PRONG_RETRY);
	assert_int_equal(prong_wait(p, &ev, 20), 0); /* it rests */
	assert_int_equal(prong_stop(p, id), 0);
	assert_int_equal(next_done(p)->result->how, PRONG_CANCELLED);
	close_pool(p);
}

static void a_stop_in_each_state(const struct prong_spec *spec)
{
	struct prong *p = open_pool(1);
	const struct prong_event *ev;
	int64_t running = prong_submit(p, spec), waiting = prong_submit(p, spec);
	assert_true(running > 0 && waiting > running);
	assert_int_equal(prong_wait(p, &ev, 50) < 0, 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(prong_stop(p, waiting), 0);
		assert_int_equal(prong_stop(p, running), 0);
	}
	assert_int_equal(prong_signal(p, waiting, SIGCONT), -ESRCH);
	for (int i = 0; i < 2; i++) {
		assert_non_null(ev = next_done(p));
		assert_int_equal(ev->result->how, PRONG_CANCELLED);
		assert_int_equal(prong_stop(p, ev->id), -ESRCH); /* done is done */
		assert_int_equal(prong_signal(p, ev->id, SIGTERM), -ESRCH);
	}
	assert_null(next_done(p));
	assert_int_equal(prong_stop(p, running), -ESRCH);
	close_pool(p);
}

static void stops_hit_what_they_name(void **state)
{
	(void)state;
	a_stop_in_each_state(PRONG_SPEC(.argv = sleeper));
	a_stop_in_each_state(PRONG_SPEC(.work = sleeps));
	a_stop_in_each_state(PRONG_SPEC(.work = sleeps, .engine = "worker"));
}

static void fds_that_are_taken_stay(void **state)
{
	struct prong *p = open_pool(1);
	char *say[] = { "sh", "-c", "echo out; echo err >&2", NULL }, buf[16];
	const struct prong_event *ev;
	(void)state;
	prong_submit(p, PRONG_SPEC(.argv = say));
	assert_non_null(next_done(p));
	int out = prong_take(p, 1), err = prong_take(p, 2);
	assert_true(out >= 0 && err >= 0);
	assert_int_equal(prong_take(p, 1), -EINVAL); /* it is gone */
	assert_int_equal(prong_take(p, 3), -EINVAL); /* no function */
	prong_submit(p, PRONG_SPEC(.fn = fn));
	assert_non_null(ev = next_done(p));
	int res = prong_take(p, 3);
	assert_true(res >= 0);
	assert_null(next_done(p));
	assert_int_equal(prong_take(p, 1), -EINVAL); /* that event is over */
	close_pool(p);
	assert_int_equal(pread(out, buf, sizeof buf, 0), 4);
	assert_memory_equal(buf, "out\n", 4);
	assert_int_equal(pread(err, buf, sizeof buf, 0), 4);
	assert_memory_equal(buf, "err\n", 4);
	assert_int_equal(pread(res, buf, sizeof buf, 0), 6);
	close(out);
	close(err);
	close(res);
}

static void a_tmpdir_that_is_none_is_told(void **state)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = 1, .tmpdir = "/no/such/dir" };
	(void)state;
	assert_int_equal(prong_open(&p, &o), 0);
	prong_submit(p, PRONG_SPEC(.argv = fine));
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
	assert_int_equal(ev->result->step, PRONG_STEP_CAPTURE);
	assert_int_equal(ev->result->status, ENOENT);
	prong_submit(p, PRONG_SPEC(.argv = fine, .out.how = PRONG_NULL, .err.how = PRONG_NULL));
	assert_int_equal(next_done(p)->result->how, PRONG_EXITED);
	close_pool(p);
}

/* Every call but prong_close(); the last way in is a child's own pool. */
static int in_a_copy(struct prong *p)
{
	const struct prong_event *ev;
	struct prong *own;
	int bad = 0;
	bad += prong_submit(p, PRONG_SPEC(.argv = fine)) != -EPERM;
	bad += prong_submit(p, PRONG_SPEC(.work = nothing, .engine = "worker")) != -EPERM;
	bad += prong_fork(p, NULL) != -EPERM;
	bad += prong_wait(p, &ev, 0) != -EPERM;
	bad += prong_take(p, 1) != -EPERM;
	bad += prong_stop(p, 0) != -EPERM;
	bad += prong_signal(p, 0, SIGTERM) != -EPERM;
	bad += prong_resize(p, 5) != -EPERM;
	bad += prong_fd(p) != -EPERM;
	bad += prong_watch(p, 0, PRONG_READ, NULL) != -EPERM;
	bad += prong_wake(p) != -EPERM;
	bad += prong_room(p) != 0;
	bad += prong_task_room(p) != 0;
	bad += prong_next_slot(p) != 0;
	bad += prong_running(p) != 0;
	bad += prong_ending(p) != 0;
	bad += prong_open(&own, NULL) != 0 || prong_submit(own, PRONG_SPEC(.argv = fine)) <= 0;
	while (!bad && prong_wait(own, &ev, 30000) == 1)
		if (ev->type == PRONG_DONE)
			bad += ev->result->how != PRONG_EXITED;
	prong_close(own);
	prong_close(p);
	return bad;
}

static void an_inherited_pool_answers_eperm(void **state)
{
	struct prong *p = open_pool(3);
	const struct prong_event *ev;
	int st;
	(void)state;
	prong_submit(p, PRONG_SPEC(.argv = sleeper));
	prong_submit(p, PRONG_SPEC(.work = sleeps));
	prong_submit(p, PRONG_SPEC(.work = sleeps, .engine = "worker"));
	assert_true(prong_wait(p, &ev, 100) >= 0);
	assert_true(prong_wait(p, &ev, 100) >= 0);
	assert_true(prong_wait(p, &ev, 100) >= 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(in_a_copy(p));
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
	assert_int_equal(prong_running(p), 3); /* nothing happened to them */
	prong_stop(p, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(next_done(p)->result->how, PRONG_CANCELLED);
	close_pool(p);
}

/* With everything queued, running, ending and unread. */
static void a_pool_may_be_closed_at_any_moment(void **state)
{
	const struct prong_event *ev;
	(void)state;
	for (int turns = 0; turns < 8; turns++) {
		struct prong *p = open_pool(2);
		for (int i = 0; i < 4; i++) {
			prong_submit(p, PRONG_SPEC(.argv = i % 2 ? sleeper : fine));
			prong_submit(p, PRONG_SPEC(.work = i % 2 ? sleeps : nothing));
			prong_submit(p, PRONG_SPEC(.work = i % 2 ? nothing : sleeps, .engine = "worker"));
		}
		for (int i = 0; i < turns; i++)
			assert_true(prong_wait(p, &ev, 20) >= 0);
		if (turns % 3 == 2)
			prong_stop(p, 0);
		close_pool(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_that_cannot_be),
		cmocka_unit_test(jobs_that_cannot_be),
		cmocka_unit_test(calls_that_cannot_be),
		cmocka_unit_test(no_pool_at_all),
		cmocka_unit_test(names_of_nothing),
		cmocka_unit_test(arrays_that_cannot_be),
		cmocka_unit_test(children_that_never_begin),
		cmocka_unit_test(a_map_writes_no_files),
		cmocka_unit_test(a_map_that_cannot_begin_says_undone),
		cmocka_unit_test(centuries_are_no_time_limit),
		cmocka_unit_test(stops_hit_what_they_name),
		cmocka_unit_test(fds_that_are_taken_stay),
		cmocka_unit_test(a_tmpdir_that_is_none_is_told),
		cmocka_unit_test(an_inherited_pool_answers_eperm),
		cmocka_unit_test(a_pool_may_be_closed_at_any_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
