/* test_pool.c - the library through its public face, with real processes. */
#include <prong.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

static int64_t shell(struct prong *p, const char *text, int64_t timeout_ms)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)text, NULL };
	return prong_submit(p, PRONG_SPEC(.argv = argv, .timeout_ms = timeout_ms));
}

static void output_is_captured(void **state)
{
	struct prong *p = open_pool(2);
	char buf[16] = "";
	(void)state;
	assert_true(shell(p, "echo out; echo err >&2; exit 3", 0) > 0);
	const struct prong_event *ev = next_done(p);
	assert_non_null(ev);
	assert_int_equal(ev->result->how, PRONG_EXITED);
	assert_int_equal(ev->result->status, 3);
	assert_int_equal(ev->result->out.len, 4);
	assert_int_equal(pread(ev->result->err.fd, buf, sizeof buf, 0), 4);
	assert_memory_equal(buf, "err\n", 4);
	close_pool(p);
}

static void timeout_ends_the_group(void **state)
{
	struct prong *p = open_pool(1);
	(void)state;
	assert_true(shell(p, "trap '' TERM; sleep 60 & sleep 60; sleep 60", 50) > 0);
	const struct prong_event *ev = next_done(p);
	assert_non_null(ev);
	assert_int_equal(ev->result->how, PRONG_TIMEDOUT);
	while (prong_wait(p, &ev, 5000) == 1)
		;
	close_pool(p);
}

static void missing_command_names_the_step(void **state)
{
	struct prong *p = open_pool(1);
	char *argv[] = { "no-such-command-here", NULL };
	(void)state;
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
	assert_int_equal(ev->result->step, PRONG_STEP_EXEC);
	assert_int_equal(ev->result->status, ENOENT);
	close_pool(p);
}

/* A grandchild that writes after the job ended must not write into another job's file. */
static void late_writer_hits_nobody(void **state)
{
	struct prong *p = open_pool(1);
	(void)state;
	assert_true(shell(p, "(sleep 0.2; echo late) & echo one", 0) > 0);
	assert_int_equal(next_done(p)->result->out.len, 4);
	for (int i = 0; i < 40; i++) {
		assert_true(shell(p, "sleep 0.01; echo x", 0) > 0);
		assert_int_equal(next_done(p)->result->out.len, 2);
	}
	close_pool(p);
}

static int square(void *arg, int fd)
{
	int n = *(int *)arg, sq = n * n;
	return write(fd, &sq, sizeof sq) == (ssize_t)sizeof sq ? 0 : 1;
}

static void functions_give_results(void **state)
{
	struct prong *p = open_pool(2);
	int n = 12, got = 0;
	(void)state;
	assert_true(prong_submit(p, PRONG_SPEC(.fn = square, .arg = &n)) > 0);
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->status, 0);
	assert_int_equal(pread(ev->result->res.fd, &got, sizeof got, 0), sizeof got);
	assert_int_equal(got, 144);
	close_pool(p);
}

/* Its output could not be kept, and then it is stopped: that it was is the lesser news. */
static void a_stop_hides_no_loss(void **state)
{
	struct prong_options o = { .size = sizeof o, .jobs = 1, .flags = PRONG_CAPTURE_PIPE };
	struct rlimit was, low;
	struct prong *p;
	const struct prong_event *ev;
	int fd[2];
	char text[128], *argv[] = { "sh", "-c", text, NULL };
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	low = (struct rlimit){ 100000, was.rlim_max };
	assert_int_equal(pipe(fd), 0);
	snprintf(text, sizeof text, "trap '' PIPE; head -c 300000 /dev/zero; echo >&%d; sleep 60",
	         fd[1]);
	assert_int_equal(prong_open(&p, &o), 0);
	assert_int_equal(prong_watch(p, fd[0], PRONG_READ, NULL), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	int64_t id = prong_submit(p, PRONG_SPEC(.argv = argv, .pass_fds = &fd[1], .npass_fds = 1,
	                                        .err.how = PRONG_NULL));
	while (prong_wait(p, &ev, 20000) == 1 && ev->type != PRONG_READY)
		;
	assert_int_equal(ev->type, PRONG_READY);
	assert_int_equal(prong_watch(p, fd[0], 0, NULL), 0);
	assert_int_equal(prong_stop(p, id), 0);
	assert_non_null(ev = next_done(p));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(ev->result->how, PRONG_LOST);
	assert_int_equal(ev->result->status, EFBIG);
	close(fd[0]);
	close(fd[1]);
	close_pool(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_captured),
		cmocka_unit_test(timeout_ends_the_group),
		cmocka_unit_test(missing_command_names_the_step),
		cmocka_unit_test(late_writer_hits_nobody),
		cmocka_unit_test(functions_give_results),
		cmocka_unit_test(a_stop_hides_no_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
