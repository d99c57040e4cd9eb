/* test_functions.c - functions in fresh forks, prong_fork(), prong_map(), and odd hosts. */
#include <prong.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* ---- results ---- */

static int write_much(void *arg, int fd)
{
	static char b[100000];
	int n = *(int *)arg;
	memset(b, 'r', sizeof b);
	for (int i = 0; i < n; i++)
		if (write(fd, b, sizeof b) != (ssize_t)sizeof b)
			return 1;
	puts("and to stdout");
	return 42;
}

static void a_result_longer_than_a_pipe(void **state)
{
	struct prong *p = open_pool(2);
	int n = 50;
	char c;
	(void)state;
	assert_true(prong_submit(p, PRONG_SPEC(.fn = write_much, .arg = &n)) > 0);
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->status, 42);
	assert_int_equal(ev->result->res.len, 5000000);
	assert_int_equal(pread(ev->result->res.fd, &c, 1, 4999999), 1);
	assert_int_equal(c, 'r');
	assert_int_equal(ev->result->out.len, 14); /* its stdio is flushed at the end */
	close_pool(p);
}

static int reply_much(struct prong_task *t)
{
	char *to = prong_reply_room(t, 3000000);
	if (!to)
		return 1;
	memset(to, 'w', 3000000);
	return prong_reply(t, t->data, t->len) == 0 && t->arg ? 7 : 1;
}

static void payload_and_reply_in_a_fresh_fork(void **state)
{
	struct prong *p = open_pool(1);
	char payload[] = "payload";
	(void)state;
	assert_true(prong_submit(p, PRONG_SPEC(.work = reply_much, .arg = p, .task = payload,
	                                       .task_len = 8)) > 0);
	memset(payload, 'x', 8); /* it was copied */
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->status, 7);
	assert_int_equal(ev->len, 3000008);
	assert_string_equal((const char *)ev->data + 3000000, "payload");
	close_pool(p);
}

/* ---- what the child is ---- */

static void handler(int sig)
{
	(void)sig;
}

static int base; /* what the caller of this test left open */

static int strange_fds(int fd, int host_fd)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; d && (e = readdir(d));) {
		int i = atoi(e->d_name);
		/* a tool may hide its own, or have them where we can have none */
		bool seen = fcntl(i, F_GETFD) >= 0 && i < sysconf(_SC_OPEN_MAX);
		n += seen && i > 2 && i != fd && i != host_fd && i != dirfd(d);
	}
	if (d)
		closedir(d);
	return n;
}

static int look_around(void *arg, int fd)
{
	struct sigaction usr1, pipe_;
	int *host_fd = arg, strange = strange_fds(fd, *host_fd) - base;
	const char *v = getenv("OWN"), *seed = getenv("PRONG_SEED");
	sigaction(SIGUSR1, NULL, &usr1);
	sigaction(SIGPIPE, NULL, &pipe_);
	dprintf(fd, "%d %d %d %s %zu", usr1.sa_handler == SIG_DFL, pipe_.sa_handler == SIG_IGN,
	        strange, v ? v : "none", seed ? strlen(seed) : 0);
	return fcntl(*host_fd, F_GETFD) < 0;
}

static void the_child_has_what_was_promised(void **state)
{
	char *set[] = { "OWN=yes", NULL }, text[64] = "";
	struct sigaction sa = { .sa_handler = handler }, ign = { .sa_handler = SIG_IGN }, old[2];
	int host_fd = open("/dev/null", O_RDONLY);
	base = strange_fds(-1, host_fd);
	struct prong *p = open_pool(2), *other = open_pool(2);
	(void)state;
	sigaction(SIGUSR1, &sa, &old[0]);
	sigaction(SIGPIPE, &ign, &old[1]);
	/* Another pool, with workers and captured files, has descriptors as well. */
	prong_submit(other, PRONG_SPEC(.work = reply_much, .engine = "worker"));
	prong_submit(other, PRONG_SPEC(.argv = (char *[]){ "echo", "x", NULL }));
	while (next_done(other))
		;
	prong_fd(p);
	for (int i = 0; i < 2; i++) {
		assert_true(prong_submit(p, PRONG_SPEC(.fn = look_around, .arg = &host_fd,
		                                       .setenv = set)) > 0);
		const struct prong_event *ev = next_done(p);
		assert_int_equal(ev->result->status, 0); /* the host's own fd is there */
		assert_true(pread(ev->result->res.fd, text, sizeof text - 1, 0) > 0);
		assert_string_equal(text, "1 1 0 yes 10");
	}
	sigaction(SIGUSR1, &old[0], NULL);
	sigaction(SIGPIPE, &old[1], NULL);
	close(host_fd);
	prong_close(other);
	close_pool(p);
}

static int use_pool(void *arg, int fd)
{
	struct prong *p = arg;
	const struct prong_event *ev;
	char *argv[] = { "true", NULL };
	(void)fd;
	return prong_submit(p, PRONG_SPEC(.argv = argv)) != -EPERM ||
	       prong_wait(p, &ev, 0) != -EPERM || prong_stop(p, 0) != -EPERM ||
	       prong_signal(p, 0, SIGTERM) != -EPERM || prong_resize(p, 3) != -EPERM ||
	       prong_fork(p, NULL) != -EPERM || prong_watch(p, 0, PRONG_READ, NULL) != -EPERM ||
	       prong_wake(p) != -EPERM || prong_fd(p) != -EPERM || prong_take(p, 1) != -EPERM ||
	       prong_room(p) != 0 || prong_running(p) != 0 || prong_task_room(p) != 0;
}

static int never(void *arg, int fd)
{
	(void)arg, (void)fd;
	return 0;
}

static void a_set_up_that_fails_names_the_step(void **state)
{
	struct prong *p = open_pool(1);
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(prong_submit(p, PRONG_SPEC(.fn = never, .cwd = "/no/such/place")) > 0);
		const struct prong_event *ev = next_done(p);
		assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
		assert_int_equal(ev->result->step, PRONG_STEP_CHDIR);
		assert_int_equal(ev->result->status, ENOENT);
		assert_true(prong_submit(p, PRONG_SPEC(.fn = never)) > 0);
		assert_int_equal(next_done(p)->result->how, PRONG_EXITED);
	}
	close_pool(p);
}

/* ---- stdio and atexit: seen from outside ---- */

static void say_bye(void)
{
	printf("bye\n");
}

static int print_in_child(void *arg, int fd)
{
	(void)arg, (void)fd;
	printf("child\n");
	return 0;
}

static void host_with_buffers(int out)
{
	struct prong *p;
	const struct prong_event *ev;
	int64_t id;
	dup2(out, 1);
	atexit(say_bye);
	printf("hello\n"); /* stays in the buffer: it is no terminal */
	if (prong_open(&p, NULL) != 0)
		_exit(1);
	prong_submit(p, PRONG_SPEC(.fn = print_in_child, .out.how = PRONG_INHERIT));
	while (prong_wait(p, &ev, -1) == 1)
		;
	PRONG_CHILD(p, NULL, id)
		printf("forked\n");
	while (prong_wait(p, &ev, -1) == 1)
		;
	prong_close(p);
	exit(id > 0 ? 0 : 1);
}

static void nothing_is_printed_twice(void **state)
{
	int fd[2], status;
	char text[256] = "";
	(void)state;
	assert_int_equal(pipe(fd), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		host_with_buffers(fd[1]);
	close(fd[1]);
	for (size_t n = 0; n < sizeof text - 1;) {
		ssize_t r = read(fd[0], text + n, sizeof text - 1 - n);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(text, "hello\nchild\nforked\nbye\n");
}

/* ---- prong_fork() ---- */

static int leave_by(struct prong *p, int way, int64_t *id)
{
	for (int again = 0; again < 2; again++) {
		PRONG_CHILD(p, NULL, *id) {
			if (way == 0)
				prong_leave(17);
			if (way == 1)
				break;
			if (way == 2)
				continue;
			if (way == 3)
				return 5;
			if (way == 4)
				goto out;
		}
		return 0; /* the parent */
	}
out:
	return 1;
}

static void no_way_out_of_the_block(void **state)
{
	static const int status[] = { 17, 0, 0, PRONG_FELL_OUT, PRONG_FELL_OUT, 0 };
	struct prong *p = open_pool(2);
	(void)state;
	for (int way = 0; way < 6; way++) {
		int64_t id = -1;
		assert_int_equal(leave_by(p, way, &id), 0);
		assert_true(id > 0);
		const struct prong_event *ev = next_done(p);
		assert_int_equal(ev->id, id);
		assert_int_equal(ev->result->how, PRONG_EXITED);
		assert_int_equal(ev->result->status, status[way]);
	}
	close_pool(p);
}

static void forks_are_bounded_and_differ(void **state)
{
	struct prong *p = open_pool(2);
	int64_t id[3];
	int pipefd[2];
	char seeds[2][16] = { "" };
	(void)state;
	assert_int_equal(pipe(pipefd), 0);
	for (int i = 0; i < 2; i++)
		PRONG_CHILD(p, NULL, id[i]) {
			const char *s = getenv("PRONG_SEED");
			if (write(pipefd[1], s, 10) != 10)
				prong_leave(1);
			pause_ms(3600000);
		}
	assert_true(id[0] > 0 && id[1] > id[0]);
	assert_int_equal(prong_running(p), 2);
	assert_int_equal(prong_fork(p, NULL), -EAGAIN);
	for (int i = 0; i < 2; i++)
		assert_int_equal(read(pipefd[0], seeds[i], 10), 10);
	assert_string_not_equal(seeds[0], seeds[1]);
	assert_int_equal(prong_stop(p, id[0]), 0);
	assert_int_equal(next_done(p)->result->how, PRONG_CANCELLED);
	PRONG_CHILD(p, PRONG_SPEC(.timeout_ms = 50, .tag = seeds), id[2])
		pause_ms(3600000);
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->id, id[2]);
	assert_int_equal(ev->result->how, PRONG_TIMEDOUT);
	assert_ptr_equal(ev->tag, seeds);
	assert_int_equal(prong_fork(p, PRONG_SPEC(.fn = never)), -EINVAL);
	assert_int_equal(prong_fork(p, PRONG_SPEC(.tries = 3)), -EINVAL);
	prong_stop(p, 0);
	while (next_done(p))
		;
	close(pipefd[0]);
	close(pipefd[1]);
	close_pool(p);
}

/* ---- maps ---- */

static int odd_item(size_t i, const void *in, void *out, void *arg)
{
	(void)arg;
	if (i % 1000 == 77)
		raise(SIGKILL);
	if (i == 5000)
		_exit(9);
	*(uint64_t *)out = 2 * i + *(const unsigned char *)in;
	return i % 100 == 3 ? 5 : 0;
}

static void a_map_is_exact(void **state)
{
	enum { N = 20000 };
	static unsigned char in[N], status[N];
	uint64_t *mine = malloc(N * sizeof *mine), *ours = prong_shared(N * sizeof *ours);
	(void)state;
	for (int i = 0; i < N; i++)
		in[i] = (unsigned char)(i * 7);
	for (int shared = 0; shared < 2; shared++) {
		uint64_t *out = shared ? ours : mine;
		int64_t bad = prong_map(PRONG_MAP(.n = N, .in = in, .in_size = 1, .out = out,
			.out_size = sizeof *out, .fn = odd_item, .jobs = 3, .status = status,
			.flags = shared ? PRONG_OUT_SHARED : 0));
		assert_int_equal(bad, N / 1000 + 1 + N / 100);
		for (unsigned i = 0; i < N; i++) {
			int want = i % 1000 == 77 ? PRONG_ITEM_DIED + SIGKILL
			           : i == 5000    ? PRONG_ITEM_DIED
			           : i % 100 == 3 ? 5
			                          : 0;
			assert_int_equal(status[i], want);
			if (want < 128)
				assert_true(out[i] == 2 * i + in[i]);
		}
	}
	free(mine);
	prong_shared_free(ours, N * sizeof *ours);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static int die_of(size_t i, const void *in, void *out, void *arg)
{
	(void)i, (void)out, (void)arg;
	raise(*(const int *)in);
	return 0;
}

static void the_last_signal_has_its_status(void **state)
{
	int sig[] = { SIGKILL, getenv("UNDER_VALGRIND") ? SIGTERM : SIGRTMAX }; /* it keeps that one */
	unsigned char status[2];
	(void)state;
	assert_int_equal(prong_map(PRONG_MAP(.n = 2, .in = sig, .in_size = sizeof *sig,
	                                     .fn = die_of, .status = status)), 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(status[i], PRONG_ITEM_DIED + sig[i]);
}

static atomic_int *counts;

static int count(size_t i, void *arg)
{
	(void)arg;
	atomic_fetch_add(&counts[i], 1);
	return 0;
}

static void each_item_once(void **state)
{
	enum { N = 100000 };
	counts = prong_shared(N * sizeof *counts);
	(void)state;
	assert_int_equal(prong_for(N, count, NULL, 0), 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(counts[i], 1);
	assert_int_equal(prong_for(0, count, NULL, 4), 0);
	assert_int_equal(prong_for(1, count, NULL, 4), 0);
	assert_int_equal(counts[0], 2);
	prong_shared_free(counts, N * sizeof *counts);
}

static int sleepy(size_t i, const void *in, void *out, void *arg)
{
	(void)in, (void)out, (void)arg;
	if (i == 7 || i == 40)
		pause_ms(3600000);
	return 0;
}

static void an_item_has_its_time(void **state)
{
	unsigned char status[50];
	(void)state;
	assert_int_equal(prong_map(PRONG_MAP(.n = 50, .fn = sleepy, .status = status, .jobs = 2,
	                                     .timeout_ms = 100)), 2);
	for (int i = 0; i < 50; i++)
		assert_int_equal(status[i], i == 7 || i == 40 ? PRONG_ITEM_DIED + SIGKILL : 0);
}

/* ---- odd hosts ---- */

static void reap_all(int sig)
{
	int err = errno;
	(void)sig;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = err;
}

static int work(struct prong_task *t)
{
	int n;
	memcpy(&n, t->data, sizeof n);
	prong_reply(t, &n, sizeof n);
	if (n % 50 == 49)
		raise(SIGKILL);
	return n % 5;
}

/* 200 jobs of both kinds; what ends well must be right, what dies may be LOST. */
static unsigned run_mixed(struct prong *p, bool may_be_lost)
{
	unsigned ok = 0;
	for (int n = 0; n < 200; n++)
		prong_submit(p, PRONG_SPEC(.work = work, .engine = n % 2 ? "worker" : NULL,
		                           .task = &n, .task_len = sizeof n));
	for (const struct prong_event *ev; (ev = next_done(p));) {
		int n = (int)((ev->id - 1) % 200), got = -1;
		const struct prong_result *r = ev->result;
		if (ev->len == sizeof got)
			memcpy(&got, ev->data, sizeof got);
		if (r->how == PRONG_LOST)
			ok += may_be_lost;
		else if (n % 50 == 49)
			ok += r->how == PRONG_SIGNALED && r->status == SIGKILL;
		else
			ok += r->how == PRONG_EXITED && r->status == n % 5 && got == n;
	}
	return ok;
}

static void host_with_a_handler_that_reaps_all(void **state)
{
	struct sigaction sa = { .sa_handler = reap_all, .sa_flags = SA_RESTART }, old;
	(void)state;
	sigaction(SIGCHLD, &sa, &old);
	struct prong *p = open_pool(4);
	assert_int_equal(run_mixed(p, true), 200);
	prong_close(p);
	sigaction(SIGCHLD, &old, NULL);
}

static void host_that_ignores_sigchld(void **state)
{
	struct sigaction sa = { .sa_handler = SIG_IGN }, old;
	(void)state;
	sigaction(SIGCHLD, &sa, &old);
	struct prong *p = open_pool(4);
	assert_int_equal(run_mixed(p, true), 200);
	prong_close(p);
	sigaction(SIGCHLD, &old, NULL);
}

static void host_that_waits_for_any_child(void **state)
{
	struct prong *p = open_pool(4);
	const struct prong_event *ev;
	unsigned done = 0;
	int r;
	(void)state;
	for (int n = 0; n < 200; n++)
		prong_submit(p, PRONG_SPEC(.work = work, .engine = n % 2 ? "worker" : NULL,
		                           .task = &n, .task_len = sizeof n));
	while ((r = prong_wait(p, &ev, 60000)) == 1) {
		done += ev->type == PRONG_DONE;
		waitpid(-1, NULL, WNOHANG); /* behind our back */
	}
	assert_int_equal(r, -ECHILD);
	assert_int_equal(done, 200);
	prong_close(p);
}

/* valgrind looks for leaks in each child, of which there would be thousands. */
static bool few(void)
{
	return getenv("UNDER_VALGRIND");
}

static void *one_of_eight(void *arg)
{
	uintptr_t ok = 0;
	(void)arg;
	for (int i = 0; i < (few() ? 1 : 3); i++) {
		struct prong *p;
		struct prong_options o = { .size = sizeof o, .jobs = 2 };
		if (prong_open(&p, &o) != 0)
			return NULL;
		ok += run_mixed(p, false) == 200;
		prong_close(p);
	}
	return (void *)ok;
}

static void host_with_eight_threads(void **state)
{
	pthread_t t[8];
	const int n = few() ? 2 : 8;
	(void)state;
	for (int i = 0; i < n; i++)
		assert_int_equal(pthread_create(&t[i], NULL, one_of_eight, NULL), 0);
	for (int i = 0; i < n; i++) {
		void *ok;
		pthread_join(t[i], &ok);
		assert_int_equal((uintptr_t)ok, few() ? 1 : 3);
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void host_that_forks_meanwhile(void **state)
{
	struct prong *p = open_pool(2);
	const struct prong_event *ev;
	unsigned done = 0;
	pid_t pid[5];
	(void)state;
	for (int n = 0; n < 200; n++)
		prong_submit(p, PRONG_SPEC(.work = work, .engine = n % 2 ? "worker" : NULL,
		                           .task = &n, .task_len = sizeof n));
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < 10; k++)
			if (prong_wait(p, &ev, 60000) == 1)
				done += ev->type == PRONG_DONE;
		pid[i] = fork();
		if (pid[i] == 0) {
			int bad = use_pool(p, -1);
			prong_close(p); /* must not touch what is the parent's */
			_exit(bad);
		}
	}
	while (prong_wait(p, &ev, 60000) == 1) {
		done += ev->type == PRONG_DONE;
		int n = (int)ev->id - 1;
		if (ev->type == PRONG_DONE && n % 50 != 49)
			assert_int_equal(ev->result->how, PRONG_EXITED);
	}
	assert_int_equal(done, 200);
	for (int i = 0; i < 5; i++) {
		int status;
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	close_pool(p);
}

/* A reader of a stream holds its lock: flushing before a fork must not wait for it. */
static void *read_one(void *stream)
{
	return (void *)(uintptr_t)(getc(stream) + 1000);
}

static void run_beside_a_reader(FILE *f, int writer)
{
	pthread_t t;
	void *got;
	assert_int_equal(pthread_create(&t, NULL, read_one, f), 0);
	pause_ms(50);
	struct prong *p = open_pool(1);
	assert_true(prong_submit(p, PRONG_SPEC(.fn = never)) > 0);
	assert_int_equal(next_done(p)->result->status, 0);
	close_pool(p);
	assert_int_equal(write(writer, "x", 1), 1);
	pthread_join(t, &got);
	assert_int_equal((uintptr_t)got, 1000 + 'x');
}

static void host_with_a_thread_that_reads(void **state)
{
	int fd[2], keep = dup(0);
	(void)state;
	assert_int_equal(pipe(fd), 0);
	dup2(fd[0], 0);
	run_beside_a_reader(stdin, fd[1]);
	dup2(keep, 0);
	close(keep);
	FILE *f = fdopen(fd[0], "r");
	FILE *log = tmpfile(); /* what it holds is written once, by us */
	assert_true(log && fputs("once", log) > 0);
	run_beside_a_reader(f, fd[1]);
	fclose(f);
	close(fd[1]);
	fflush(log);
	assert_int_equal(lseek(fileno(log), 0, SEEK_END), 4);
	fclose(log);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_result_longer_than_a_pipe),
		cmocka_unit_test(payload_and_reply_in_a_fresh_fork),
		cmocka_unit_test(the_child_has_what_was_promised),
		cmocka_unit_test(a_set_up_that_fails_names_the_step),
		cmocka_unit_test(nothing_is_printed_twice),
		cmocka_unit_test(no_way_out_of_the_block),
		cmocka_unit_test(forks_are_bounded_and_differ),
		cmocka_unit_test(a_map_is_exact),
		cmocka_unit_test(the_last_signal_has_its_status),
		cmocka_unit_test(each_item_once),
		cmocka_unit_test(an_item_has_its_time),
		cmocka_unit_test(host_with_a_handler_that_reaps_all),
		cmocka_unit_test(host_that_ignores_sigchld),
		cmocka_unit_test(host_that_waits_for_any_child),
		cmocka_unit_test(host_with_eight_threads),
		cmocka_unit_test(host_that_forks_meanwhile),
		cmocka_unit_test(host_with_a_thread_that_reads),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
