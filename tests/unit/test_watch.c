/* test_watch.c - the host's fds in a pool, the pool's fd in a host, copies of a pool. */
#include <prong.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

static int64_t submit(struct prong *p, const char *text)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)text, NULL };
	return prong_submit(p, PRONG_SPEC(.argv = argv));
}

/* The next READY event within `ms`, or NULL. */
static const struct prong_event *ready(struct prong *p, int ms)
{
	const struct prong_event *ev = NULL;
	if (prong_wait(p, &ev, ms) != 1)
		return NULL;
	assert_int_equal(ev->type, PRONG_READY);
	return ev;
}

static const struct prong_event *done(struct prong *p)
{
	const struct prong_event *ev;
	while (prong_wait(p, &ev, 20000) == 1)
		if (ev->type == PRONG_DONE)
			return ev;
	return NULL;
}

static void a_watch_tells_which(void **state)
{
	struct prong *p = open_pool(2);
	int fd[2], tag, other;
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(prong_watch(p, fd[0], PRONG_READ, &tag), 0);
	assert_null(ready(p, 0));
	assert_int_equal(prong_watch(p, fd[0], PRONG_READ | PRONG_WRITE, &tag), 0);
	const struct prong_event *ev = ready(p, 5000);
	assert_non_null(ev);
	assert_int_equal(ev->id, fd[0]);
	assert_ptr_equal(ev->tag, &tag);
	assert_int_equal(ev->ready, PRONG_WRITE);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(ready(p, 5000)->ready, PRONG_READ | PRONG_WRITE);
	assert_int_equal(prong_watch(p, fd[0], PRONG_READ, &other), 0);
	ev = ready(p, 5000);
	assert_int_equal(ev->ready, PRONG_READ);
	assert_ptr_equal(ev->tag, &other);
	assert_int_equal(prong_watch(p, fd[0], 0, NULL), 0);
	assert_int_equal(prong_watch(p, fd[0], 0, NULL), -ENOENT);
	assert_null(ready(p, 0));
	close(fd[0]);
	close(fd[1]);
	prong_close(p);
}

static void fill(int fd)
{
	char buf[4096] = "";
	while (write(fd, buf, sizeof buf) > 0)
		;
}

/* Both were found ready at once; before the second is told, it is watched for something else. */
static void what_is_not_watched_for_is_not_told(void **state)
{
	struct prong *p = open_pool(2);
	int a[2], b[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
	fill(a[0]), fill(b[0]);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(prong_watch(p, a[0], PRONG_READ, NULL), 0);
	assert_int_equal(prong_watch(p, b[0], PRONG_READ, NULL), 0);
	int first = (int)ready(p, 5000)->id, other = first == a[0] ? b[0] : a[0];
	assert_int_equal(prong_watch(p, other, PRONG_WRITE, NULL), 0);
	assert_int_equal(prong_watch(p, first, 0, NULL), 0);
	assert_null(ready(p, 0));
	assert_int_equal(prong_watch(p, other, PRONG_WRITE | PRONG_READ, NULL), 0);
	assert_int_equal(ready(p, 5000)->ready, PRONG_READ);
	prong_close(p);
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void a_full_pipe_is_writable_when_it_was_read(void **state)
{
	struct prong *p = open_pool(2);
	char buf[4096];
	int fd[2];
	(void)state;
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	fill(fd[1]);
	assert_int_equal(prong_watch(p, fd[1], PRONG_WRITE, NULL), 0);
	assert_null(ready(p, 0));
	while (read(fd[0], buf, sizeof buf) > 0)
		;
	assert_int_equal(ready(p, 5000)->ready, PRONG_WRITE);
	prong_close(p);
	close(fd[0]);
	close(fd[1]);
}

static void a_hang_up_is_told(void **state)
{
	struct prong *p = open_pool(2);
	int fd[2];
	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(prong_watch(p, fd[1], PRONG_WRITE, NULL), 0);
	close(fd[0]);
	assert_int_equal(ready(p, 5000)->ready, PRONG_WRITE);
	prong_close(p);
	close(fd[1]);
}

static void a_file_that_is_always_ready_is_refused(void **state)
{
	struct prong *p = open_pool(2);
	const struct prong_event *ev;
	(void)state;
	FILE *file = tmpfile();
	assert_non_null(file);
	assert_int_equal(prong_watch(p, fileno(file), PRONG_READ, NULL), -EPERM);
	fclose(file);
	assert_int_equal(prong_wait(p, &ev, 0), -ECHILD); /* nothing is watched */
	prong_close(p);
}

static void a_number_used_again_is_watched_again(void **state)
{
	struct prong *p = open_pool(2);
	int a[2], b[2];
	(void)state;
	assert_int_equal(pipe(a), 0);
	assert_int_equal(prong_watch(p, a[0], PRONG_READ, NULL), 0);
	assert_int_equal(pipe(b), 0);
	assert_int_equal(dup2(b[0], a[0]), a[0]); /* closes what was watched */
	assert_int_equal(prong_watch(p, a[0], PRONG_READ, NULL), 0);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(ready(p, 5000)->id, a[0]);
	prong_close(p);
	close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static bool readable(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	return poll(&pfd, 1, ms) == 1;
}

/* A forked copy of the host holds our pidfds and pipes: they must not stay in our set. */
static void copies_keep_nothing_ready(void **state)
{
	struct prong *p = open_pool(2);
	const struct prong_event *ev;
	int fd = prong_fd(p), hold[2];
	(void)state;
	if (fd == -ENOTSUP) {
		prong_close(p);
		skip();
	}
	assert_int_equal(pipe(hold), 0);
	assert_true(submit(p, "sleep 0.2") > 0);
	assert_int_equal(prong_wait(p, &ev, 20000), 1);
	pid_t copy = fork();
	if (copy == 0) {
		char c;
		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
	}
	assert_non_null(done(p));
	assert_int_equal(prong_wait(p, &ev, 0), -ECHILD);
	assert_false(readable(fd, 50));
	close(hold[1]);
	close(hold[0]);
	assert_int_equal(waitpid(copy, NULL, 0), copy);
	prong_close(p);
}

/* Turn the pool as an event loop does, until it has nothing to say; how often it woke up. */
static int loop(struct prong *p, int fd, int ms)
{
	const struct prong_event *ev;
	int turns = 0;
	for (; turns < 100 && readable(fd, ms); turns++)
		while (prong_wait(p, &ev, 0) == 1)
			;
	return turns;
}

static void run_one(struct prong *p)
{
	char *argv[] = { "true", NULL };
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv, .timeout_ms = 100)) > 0);
	assert_non_null(done(p));
}

/* Alarms set for what is over by then, and the timer that goes on without jobs. */
static void an_idle_pool_keeps_no_host_awake(void **state)
{
	(void)state;
	for (int strays = 0; strays < 2; strays++) {
		struct prong_options o = { .size = sizeof o,
			                   .flags = strays ? PRONG_REAP_STRAYS : 0 };
		struct prong *p;
		assert_int_equal(prong_open(&p, &o), 0);
		int fd = prong_fd(p);
		if (fd == -ENOTSUP) {
			prong_close(p);
			skip();
		}
		run_one(p);
		assert_true(loop(p, fd, 300) < 10);
		prong_close(p);
	}
}

static void a_wake_is_told_also_by_an_idle_pool(void **state)
{
	struct prong *p = open_pool(2);
	const struct prong_event *ev;
	int fd = prong_fd(p);
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(prong_wake(p), 0);
		assert_true(fd < 0 || readable(fd, 0));
		assert_int_equal(prong_wait(p, &ev, 0), 1);
		assert_int_equal(ev->type, PRONG_WOKEN);
		assert_int_equal(prong_wait(p, &ev, 0), -ECHILD);
		assert_true(fd < 0 || !readable(fd, 0));
	}
	prong_close(p);
}

static void a_copy_that_closes_takes_nothing_away(void **state)
{
	struct prong *p = open_pool(2);
	const struct prong_event *ev;
	int fd[2];
	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(prong_watch(p, fd[0], PRONG_READ, NULL), 0);
	assert_true(submit(p, "sleep 0.2; echo x") > 0);
	assert_int_equal(prong_wait(p, &ev, 20000), 1);
	pid_t copy = fork();
	if (copy == 0) {
		int r = prong_wait(p, &ev, 0) == -EPERM && prong_wake(p) == -EPERM;
		prong_close(p);
		_exit(r ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(copy, &status, 0), copy);
	assert_int_equal(status, 0);
	ev = done(p);
	assert_non_null(ev);
	assert_int_equal(ev->result->out.len, 2);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_non_null(ready(p, 5000));
	prong_close(p);
	close(fd[0]);
	close(fd[1]);
}

enum { HOST_FDS = 8, FD_TOP = 2048 };
static int fd_top = 1024; /* a tool that watches us may have its own from there on */

/* Exit code: 0 if exactly the host's descriptors are open, stdio and the one for the result. */
static int look_at_fds(void *arg, int result_fd)
{
	const int *host = arg;
	int open_now = 0;
	for (int i = 0; i < HOST_FDS; i++)
		if (fcntl(host[i], F_GETFD) < 0)
			return 1;
	for (int fd = 3; fd < fd_top; fd++)
		open_now += fcntl(fd, F_GETFD) >= 0;
	return open_now == host[HOST_FDS] + HOST_FDS + 1 && fcntl(result_fd, F_GETFD) >= 0 ? 0 : 2;
}

/* Ours are closed in a function's process, whatever pool has them; numbers that were ours
 * once and are the host's now are not. */
static void none_of_ours(void)
{
	int host[HOST_FDS + 1] = { 0 };
	const struct prong_event *ev;
	for (int fd = 3; fd < fd_top; fd++)
		host[HOST_FDS] += fcntl(fd, F_GETFD) >= 0;
	struct prong *other = open_pool(2), *p = open_pool(2);
	for (int i = 0; i < 20; i++)
		assert_true(submit(p, "echo x; echo y >&2") > 0);
	while (prong_wait(p, &ev, 20000) == 1)
		;
	prong_fd(p);
	prong_close(p);
	p = open_pool(2);
	assert_true(submit(other, "sleep 0.3; echo x") > 0);
	assert_int_equal(prong_wait(other, &ev, 20000), 1);
	for (int i = 0; i < HOST_FDS; i++)
		assert_true((host[i] = open("/dev/null", O_RDONLY)) >= 0);
	assert_true(prong_submit(p, PRONG_SPEC(.fn = look_at_fds, .arg = host)) > 0);
	ev = done(p);
	assert_int_equal(ev->result->how, PRONG_EXITED);
	assert_int_equal(ev->result->status, 0);
	assert_non_null(done(other));
	int taken = prong_take(other, 1); /* it is the host's now */
	assert_true(taken >= 0);
	close(host[0]);
	host[0] = taken;
	assert_true(prong_submit(p, PRONG_SPEC(.fn = look_at_fds, .arg = host)) > 0);
	assert_int_equal(done(p)->result->status, 0);
	prong_close(p);
	prong_close(other);
	for (int i = 0; i < HOST_FDS; i++)
		close(host[i]);
}

static void functions_get_none_of_ours(void **state)
{
	(void)state;
	none_of_ours();
}

/* Ours begin below 1024 and go on above. */
static void nor_where_the_host_has_a_thousand(void **state)
{
	struct rlimit had, more;
	int many[FD_TOP / 2], n = 0;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	if (had.rlim_max < FD_TOP)
		skip();
	more = (struct rlimit){ had.rlim_cur > FD_TOP ? had.rlim_cur : FD_TOP, had.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
	fd_top = FD_TOP;
	do
		assert_true((many[n] = open("/dev/null", O_RDONLY)) >= 0);
	while (many[n++] < 1015);
	none_of_ours();
	fd_top = 1024;
	while (n)
		close(many[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_watch_tells_which),
		cmocka_unit_test(what_is_not_watched_for_is_not_told),
		cmocka_unit_test(a_full_pipe_is_writable_when_it_was_read),
		cmocka_unit_test(a_hang_up_is_told),
		cmocka_unit_test(a_file_that_is_always_ready_is_refused),
		cmocka_unit_test(a_number_used_again_is_watched_again),
		cmocka_unit_test(copies_keep_nothing_ready),
		cmocka_unit_test(an_idle_pool_keeps_no_host_awake),
		cmocka_unit_test(a_wake_is_told_also_by_an_idle_pool),
		cmocka_unit_test(functions_get_none_of_ours),
		cmocka_unit_test(nor_where_the_host_has_a_thousand),
		cmocka_unit_test(a_copy_that_closes_takes_nothing_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
