/* test_sigchld.c - hosts that use SIGCHLD themselves, in every way one can. */
#include <prong.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

enum { JOBS = 20 };

static atomic_int heard;

static void on_chld(int sig)
{
	heard += sig == SIGCHLD;
}

static void on_chld_info(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	heard += sig == SIGCHLD && si->si_pid > 0;
}

static void submit(struct prong *p, const char *text)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)text, NULL };
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
}

/* Run JOBS jobs; how many ended as `how`. */
static int run(struct prong *p, int how)
{
	const struct prong_event *ev;
	int n = 0, r;
	for (int i = 0; i < JOBS; i++)
		submit(p, "exit 3");
	while ((r = prong_wait(p, &ev, 30000)) == 1)
		n += ev->type == PRONG_DONE && ev->result->how == how;
	assert_int_equal(r, -ECHILD);
	return n;
}

static void set(void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };
	assert_int_equal(sigaction(SIGCHLD, &sa, NULL), 0);
	heard = 0;
}

static void (*current(void))(int)
{
	struct sigaction sa;
	assert_int_equal(sigaction(SIGCHLD, NULL, &sa), 0);
	return sa.sa_handler;
}

static void the_default_comes_back(void **state)
{
	(void)state;
	set(SIG_DFL, 0);
	struct prong *p = open_pool(4), *q = open_pool(4);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(p);
	assert_int_equal(run(q, PRONG_EXITED), JOBS);
	prong_close(q);
	assert_ptr_equal(current(), SIG_DFL);
}

static void the_hosts_handler_is_called(void **state)
{
	(void)state;
	set(on_chld, SA_RESTART);
	struct prong *p = open_pool(4);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(p);
	assert_true(heard > 0);
	assert_ptr_equal(current(), on_chld);
	set(SIG_DFL, 0);
}

static void with_siginfo_too(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_chld_info, .sa_flags = SA_SIGINFO };
	(void)state;
	heard = 0;
	assert_int_equal(sigaction(SIGCHLD, &sa, NULL), 0);
	struct prong *p = open_pool(4);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(p);
	assert_true(heard > 0);
	assert_int_equal(sigaction(SIGCHLD, NULL, &sa), 0);
	assert_ptr_equal(sa.sa_sigaction, on_chld_info);
	set(SIG_DFL, 0);
}

static void a_handler_set_later_hides_nothing(void **state)
{
	(void)state;
	set(SIG_DFL, 0);
	struct prong *p = open_pool(4);
	set(on_chld, 0);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(p);
	assert_ptr_equal(current(), on_chld); /* the host's: it stays */
	set(SIG_DFL, 0);
}

static struct sigaction before;

static void chained(int sig, siginfo_t *si, void *ctx)
{
	heard += sig == SIGCHLD;
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(sig, si, ctx);
}

static void handlers_that_call_each_other_end(void **state)
{
	struct sigaction sa = { .sa_sigaction = chained, .sa_flags = SA_SIGINFO };
	(void)state;
	set(SIG_DFL, 0);
	struct prong *p = open_pool(4);
	assert_int_equal(sigaction(SIGCHLD, &sa, &before), 0);
	struct prong *q = open_pool(4);
	assert_int_equal(run(q, PRONG_EXITED), JOBS);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(q);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(p);
	assert_true(heard > 0);
	set(SIG_DFL, 0);
}

static void blocked_it_delays_nothing_for_ever(void **state)
{
	sigset_t chld, old;
	(void)state;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &chld, &old);
	struct prong *p = open_pool(4);
	assert_int_equal(run(p, PRONG_EXITED), JOBS);
	prong_close(p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The kernel throws the status away; the end itself is told. */
static void ignored_it_costs_the_status(void **state)
{
	(void)state;
	set(SIG_IGN, 0);
	struct prong *p = open_pool(4);
	assert_int_equal(run(p, PRONG_LOST), JOBS);
	prong_close(p);
	assert_ptr_equal(current(), SIG_IGN);
	set(SIG_DFL, 0);
}

static void a_thief_costs_the_status(void **state)
{
	const struct prong_event *ev;
	int lost = 0;
	(void)state;
	struct prong *p = open_pool(4);
	for (int i = 0; i < 3; i++)
		submit(p, "exit 3");
	for (int i = 0; i < 3; i++) { /* three are started, none is waited for yet */
		assert_int_equal(prong_wait(p, &ev, 30000), 1);
		assert_int_equal(ev->type, PRONG_STARTED);
	}
	for (int i = 0; i < 3; i++)
		assert_true(waitpid(-1, NULL, 0) > 0);
	while (prong_wait(p, &ev, 30000) == 1)
		lost += ev->type == PRONG_DONE && ev->result->how == PRONG_LOST;
	assert_int_equal(lost, 3);
	prong_close(p);
}

static void *pool_of_a_thread(void *arg)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = 2 };
	int *done = arg;
	const struct prong_event *ev;
	char *argv[] = { "true", NULL };
	for (int round = 0; round < 3; round++) {
		if (prong_open(&p, &o) != 0)
			return NULL;
		for (int i = 0; i < JOBS; i++)
			if (prong_submit(p, PRONG_SPEC(.argv = argv)) <= 0)
				return NULL;
		while (prong_wait(p, &ev, 30000) == 1)
			*done += ev->type == PRONG_DONE && ev->result->how == PRONG_EXITED;
		prong_close(p);
	}
	return NULL;
}

static void threads_have_pools(void **state)
{
	pthread_t t[8];
	int done[8] = { 0 };
	(void)state;
	set(on_chld, SA_RESTART);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, pool_of_a_thread, &done[i]), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 8; i++)
		assert_int_equal(done[i], 3 * JOBS);
	assert_ptr_equal(current(), on_chld);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	set(SIG_DFL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_comes_back),
		cmocka_unit_test(the_hosts_handler_is_called),
		cmocka_unit_test(with_siginfo_too),
		cmocka_unit_test(a_handler_set_later_hides_nothing),
		cmocka_unit_test(handlers_that_call_each_other_end),
		cmocka_unit_test(blocked_it_delays_nothing_for_ever),
		cmocka_unit_test(ignored_it_costs_the_status),
		cmocka_unit_test(a_thief_costs_the_status),
		cmocka_unit_test(threads_have_pools),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
