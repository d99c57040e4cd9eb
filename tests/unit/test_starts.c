/* test_starts.c - what a job gets at its start, and whom its end hits. */
#include <prong.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(PR_BACKEND_LINUX) && defined(__GLIBC__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <cmocka.h>

#include "pool-rig.h"

extern char **environ;

#ifdef PR_BACKEND_LINUX
/* ---- marks ---- */

/* Its environment is a long string, and the mark, whose first six bytes end at offset `at`. */
static int64_t marked(struct prong *p, int in, const char *mark, size_t at)
{
	static char pad[20000];
	char *argv[] = { "/bin/sh", "-c", "echo; read x", NULL };
	char *env[] = { pad, NULL }, *set[] = { (char *)(uintptr_t)mark, NULL };
	memset(pad, 'x', sizeof pad);
	memcpy(pad, "PAD=", 4);
	pad[at - 6 - 1] = '\0';
	return prong_submit(p, PRONG_SPEC(.argv = argv, .env = env, .setenv = set, .mark = mark,
	                                  .in = { PRONG_FD, in }, .out.how = PRONG_PIPE));
}

/* What is left of a try that took too long is ended by the mark, which the next try has too. */
static void the_next_try_is_not_hit(void **state)
{
	char dir[] = "/tmp/prong-starts-XXXXXX", *set[] = { "MARK=try", NULL };
	char *argv[] = { "/bin/sh", "-c",
		         "if rmdir again 2>/dev/null; then sleep 0.5; exit 0; fi; mkdir again;"
		         "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & sleep 60", NULL };
	const struct prong_event *ev;
	int ends = 0;
	(void)state;
	assert_non_null(mkdtemp(dir));
	struct prong *p = open_pool(1);
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv, .cwd = dir, .setenv = set,
	                                       .mark = set[0], .tries = 2, .timeout_ms = 2000)) > 0);
	while (prong_wait(p, &ev, -1) == 1) {
		if (ev->type != PRONG_DONE && ev->type != PRONG_RETRY)
			continue;
		assert_int_equal(ev->result->how, ends++ ? PRONG_EXITED : PRONG_TIMEDOUT);
	}
	assert_int_equal(ends, 2);
	prong_close(p);
	assert_int_equal(rmdir(dir), 0);
}

/* Nothing is left to end: the sequence's pause is not waited for. */
static void the_next_try_waits_for_nobody(void **state)
{
	char *argv[] = { "/bin/false", NULL }, *set[] = { "MARK=false", NULL };
	const struct prong_event *ev;
	int64_t first = 0, last = 0;
	(void)state;
	struct prong *p = open_pool(1);
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv, .setenv = set, .mark = set[0], .tries = 3,
	                                       .flags = PRONG_SWEEP,
	                                       .termseq = "TERM,30000,KILL,25")) > 0);
	while (prong_wait(p, &ev, 60000) == 1) {
		first = first ? first : ev->result->start_ns;
		last = ev->result->start_ns;
	}
	assert_true(last - first < INT64_C(20000000000));
	prong_close(p);
}

/* Reads of an environment end in the midst of it: MARK=15 is not MARK=1, MARK=1/5 is its. */
static void a_mark_is_a_whole_string(void **state)
{
	enum { N = 20 };
	const struct prong_event *ev;
	int fd[2], said = 0;
	int64_t id[N];
	(void)state;
	assert_int_equal(pipe(fd), 0);
	struct prong *p = open_pool(N + 1);
	int64_t first = marked(p, fd[0], "MARK=1", 100);
	for (int i = 0; i < N; i++)
		id[i] = marked(p, fd[0], i % 2 ? "MARK=15" : "MARK=1/5", 16378 + (size_t)i / 2);
	while (said < N + 1 && prong_wait(p, &ev, 60000) == 1)
		said += ev->type == PRONG_OUTPUT;
	assert_int_equal(prong_stop(p, first), 0);
	for (int i = 0; i < N; i++) /* of two signals the lower one comes first */
		prong_signal(p, id[i], SIGVTALRM);
	while ((ev = next_done(p)))
		if (ev->id != first)
			assert_int_equal(ev->result->status,
			                 (ev->id - id[0]) % 2 ? SIGVTALRM : SIGTERM);
	close(fd[0]);
	close(fd[1]);
	close_pool(p);
}
#endif

/* ---- standard streams from numbers 0 to 2 ---- */

static void assert_text(int fd, const char *want)
{
	char buf[64];
	ssize_t n = pread(fd, buf, sizeof buf, 0);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(buf, want, strlen(want));
}

static int say(void *arg, int fd)
{
	(void)arg;
	puts("hello");
	return write(fd, "result", 6) == 6 ? 0 : 1;
}

static void a_closed_stdin_costs_no_output(void **state)
{
	char *argv[] = { "echo", "hello", NULL };
	int keep = fcntl(0, F_DUPFD, 20);
	struct prong *p = open_pool(1), *q = open_pool(1);
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
		assert_text(next_done(p)->result->out.fd, "hello\n");
		close(0); /* a file that is used again is opened as this number */
	}
	close_pool(p);
	assert_true(prong_submit(q, PRONG_SPEC(.fn = say)) > 0);
	const struct prong_event *ev = next_done(q);
	assert_int_equal(ev->result->status, 0);
	assert_text(ev->result->out.fd, "hello\n");
	assert_text(ev->result->res.fd, "result");
	close_pool(q);
	dup2(keep, 0);
	close(keep);
}

static void streams_change_places(void **state)
{
	char *argv[] = { "sh", "-c", "echo out; echo err >&2", NULL };
	char name[2][24] = { "/tmp/prong-startsXXXXXX", "/tmp/prong-startsXXXXXX" };
	int to[2], keep[2];
	(void)state;
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		to[i] = mkstemp(name[i]);
		unlink(name[i]);
		keep[i] = dup(i + 1);
		dup2(to[i], i + 1);
	}
	struct prong *p = open_pool(1);
	prong_submit(p, PRONG_SPEC(.argv = argv, .out = { PRONG_FD, 2 }, .err = { PRONG_FD, 1 }));
	next_done(p);
	prong_close(p);
	for (int i = 0; i < 2; i++) {
		dup2(keep[i], i + 1);
		close(keep[i]);
	}
	assert_text(to[0], "err\n");
	assert_text(to[1], "out\n");
	close(to[0]);
	close(to[1]);
}

/* ---- the environment ---- */

static int count_environ(void *arg, int fd)
{
	int n = 0;
	(void)arg, (void)fd;
	while (environ && environ[n])
		n++;
	return n;
}

static void a_host_without_environment(void **state)
{
	char *argv[] = { "/bin/sh", "-c", "exit 9", NULL }, *set[] = { "ONE=1", NULL };
	char **keep = environ;
	struct prong *p = open_pool(1);
	(void)state;
	environ = NULL; /* what clearenv() does */
	prong_submit(p, PRONG_SPEC(.argv = argv));
	const struct prong_event *ev = next_done(p);
	int status = ev->result->status;
	prong_submit(p, PRONG_SPEC(.fn = count_environ, .setenv = set));
	int n = next_done(p)->result->status;
	environ = keep;
	assert_int_equal(status, 9);
	assert_int_equal(n, 2); /* and PRONG_SEED */
	close_pool(p);
}

/* ---- no process to be had ---- */

#ifdef SECCOMP_MODE_FILTER
/* With an errno for which nothing is tried again. */
static bool refuse_clone(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof code / sizeof *code, code };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

static int how_refused(void)
{
	char *argv[] = { "true", NULL };
	struct prong *p;
	const struct prong_event *ev;
	int step = -1;
	if (prong_open(&p, NULL) != 0)
		return 100;
	for (int i = 0; i < 2; i++) { /* the first shows that children can be apart */
		prong_submit(p, PRONG_SPEC(.argv = argv));
		while (prong_wait(p, &ev, 30000) == 1)
			if (ev->type == PRONG_DONE)
				step = ev->result->status == ENOSPC ? ev->result->step : 101;
		if (i == 0 && !refuse_clone())
			return 102;
	}
	return step;
}

static void a_refused_clone_has_a_step(void **state)
{
	int status;
	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(how_refused());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status == 102 << 8)
		skip();
	assert_int_equal(status, PRONG_STEP_FORK << 8);
}
#endif

/* ---- the nice value ---- */

static int very_nice(void)
{
	char *argv[] = { "sh", "-c", "exit $(nice)", NULL };
	struct prong *p;
	const struct prong_event *ev;
	int status = -1;
	if (nice(1) == -1 || prong_open(&p, NULL) != 0)
		return 100;
	prong_submit(p, PRONG_SPEC(.argv = argv, .nice = INT_MAX));
	while (prong_wait(p, &ev, 30000) == 1)
		if (ev->type == PRONG_DONE)
			status = ev->result->how == PRONG_EXITED ? ev->result->status : 101;
	return status;
}

static void nobody_is_too_nice(void **state)
{
	int status;
	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(very_nice());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 19 << 8);
}

/* ---- the terminal ---- */

static int own_terminal(const char *name, unsigned flags)
{
	struct prong_options o = { .size = sizeof o, .jobs = 1, .flags = flags };
	struct prong *p;
	char *argv[] = { "true", NULL };
	const struct prong_event *ev;
	int how = 0, tty = setsid() < 0 ? -1 : open(name, O_RDWR); /* makes it ours */
	if (tty < 0 || tcsetpgrp(tty, getpgrp()) != 0 || prong_open(&p, &o) != 0)
		return 100;
	prong_submit(p, PRONG_SPEC(.argv = argv, .flags = PRONG_FOREGROUND, .tty_fd = tty));
	while (prong_wait(p, &ev, 30000) == 1)
		if (ev->type == PRONG_DONE)
			how = (int)ev->result->how;
	return how;
}

/* A child that stops on its way to exec would hold us for good. */
static void the_terminal_is_given_away(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int status, tty = posix_openpt(O_RDWR | O_NOCTTY);
		if (tty < 0 || grantpt(tty) != 0 || unlockpt(tty) != 0)
			skip();
		pid_t pid = fork();
		if (pid == 0) {
			alarm(60);
			_exit(own_terminal(ptsname(tty), i ? PRONG_NO_HANDLERS : 0));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, PRONG_EXITED << 8);
		close(tty);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef PR_BACKEND_LINUX
		cmocka_unit_test(a_mark_is_a_whole_string),
		cmocka_unit_test(the_next_try_is_not_hit),
		cmocka_unit_test(the_next_try_waits_for_nobody),
#endif
		cmocka_unit_test(a_host_without_environment),
		cmocka_unit_test(the_terminal_is_given_away),
#ifdef SECCOMP_MODE_FILTER
		cmocka_unit_test(a_refused_clone_has_a_step),
#endif
		cmocka_unit_test(nobody_is_too_nice),
		cmocka_unit_test(a_closed_stdin_costs_no_output),
		cmocka_unit_test(streams_change_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
