/* test_worker.c - what standing workers promise beyond what every engine does. */
#include <prong.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

static struct shared {
	_Atomic int inits, leaves, runs, at_once, most, go;
	_Atomic pid_t pids[16];
} *shared;

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static struct prong *open_with(struct prong_options o)
{
	struct prong *p;
	o.size = sizeof o;
	memset(shared, 0, sizeof *shared);
	assert_int_equal(prong_open(&p, &o), 0);
	return p;
}

static int64_t submit(struct prong *p, int (*work)(struct prong_task *), const void *task, size_t len)
{
	int64_t id = prong_submit(p, PRONG_SPEC(.work = work, .engine = "worker", .task = task,
	                                        .task_len = len));
	assert_true(id > 0);
	return id;
}

/* ---- bytes ---- */

static int echo(struct prong_task *t)
{
	return prong_reply(t, t->data, t->len) == 0 ? 0 : 1;
}

static int in_pieces(struct prong_task *t)
{
	const char *s = t->data;
	for (size_t i = 0; i < t->len; i += 1000) {
		size_t n = t->len - i < 1000 ? t->len - i : 1000;
		if (i / 1000 % 2) {
			char *to = prong_reply_room(t, n);
			if (!to)
				return 1;
			memcpy(to, s + i, n);
		} else if (prong_reply(t, s + i, n) != 0) {
			return 1;
		}
	}
	return 0;
}

static void fill(unsigned char *b, size_t len, unsigned x)
{
	for (size_t i = 0; i < len; i++)
		b[i] = (unsigned char)(x = x * 1103515245u + 12345u, x >> 16);
}

static void bytes_of_any_size_come_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4095, 65536, 262143, 262144, 300000, 1,
		                        1 << 20, 5, 20 << 20, 100, 3 << 20, 0, 70000 };
	struct prong *p = open_with((struct prong_options){ .jobs = 2 });
	unsigned char *b = malloc(20 << 20), *want = malloc(20 << 20);
	int n = 0;
	(void)state;
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			fill(b, sizes[i], (unsigned)i);
			assert_true(prong_submit(p, PRONG_SPEC(.work = round ? in_pieces : echo,
			                                       .engine = "worker", .task = b,
			                                       .task_len = sizes[i],
			                                       .tag = (void *)i)) > 0);
		}
	for (const struct prong_event *ev; (ev = next_done(p)); n++) {
		size_t i = (size_t)ev->tag;
		assert_int_equal(ev->result->how, PRONG_EXITED);
		assert_int_equal(ev->result->status, 0);
		assert_int_equal(ev->len, sizes[i]);
		fill(want, sizes[i], (unsigned)i);
		assert_true(!ev->len || !memcmp(ev->data, want, ev->len));
	}
	assert_int_equal(n, 2 * sizeof sizes / sizeof *sizes);
	free(b);
	free(want);
	close_pool(p);
}

/* Replies pile up while the host does not look; payloads while the workers are busy. */
static void nobody_blocks_for_ever(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 2 });
	const struct prong_event *ev;
	static unsigned char b[200000], want[sizeof b];
	int n = 0;
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		fill(b, sizeof b, i + 1);
		submit(p, echo, b, i % 3 ? sizeof b : 10);
	}
	for (; (ev = next_done(p)); n++) {
		unsigned i = (unsigned)ev->id - 1;
		fill(want, sizeof want, i + 1);
		assert_int_equal(ev->result->how, PRONG_EXITED);
		assert_int_equal(ev->result->status, 0);
		assert_int_equal(ev->len, i % 3 ? sizeof b : 10);
		assert_memory_equal(ev->data, want, ev->len);
		if (n % 50 == 0)
			pause_ms(20);
	}
	assert_int_equal(n, 300);
	close_pool(p);
}

static int all_alike(struct prong_task *t)
{
	const char *s = t->data;
	for (size_t i = 1; i < t->len; i++)
		if (s[i] != s[0])
			return 1;
	return 0;
}

static int until_told(struct prong_task *t)
{
	(void)t;
	while (!shared->go)
		;
	return 0;
}

static int no_op(struct prong_task *t)
{
	(void)t;
	return 0;
}

/* The last payload there was is done with, while a task without one goes on. */
static void payloads_never_overlap(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1 });
	static char a[100000], b[200000], c[90000];
	const struct prong_event *ev;
	(void)state;
	memset(b, 'b', sizeof b);
	memset(c, 'c', sizeof c);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 40; i++) /* they teach it to hand out many ahead */
			submit(p, no_op, NULL, 0);
		while (next_done(p))
			;
		shared->go = 0;
		int64_t first = submit(p, all_alike, a, sizeof a);
		submit(p, until_told, NULL, 0);
		assert_int_equal(next_done(p)->id, first);
		submit(p, all_alike, b, sizeof b);
		submit(p, all_alike, c, sizeof c);
		assert_true(prong_wait(p, &ev, 0) == 0);
		shared->go = 1;
		while ((ev = next_done(p)))
			assert_int_equal(ev->result->status, 0);
	}
	close_pool(p);
}

static int two_megabytes(struct prong_task *t)
{
	return prong_reply_room(t, 2 << 20) == NULL;
}

static int in_two_pieces(struct prong_task *t)
{
	until_told(t);
	return prong_reply(t, "precious", 8) != 0 || !prong_reply_room(t, 7 << 20);
}

/* The second piece has no room before the host looks again, which takes longer than a worker
 * at rest keeps its memory. */
static void a_reply_that_waits_for_room_stays_whole(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1 });
	const struct prong_event *ev;
	(void)state;
	for (int i = 0; i < 200; i++)
		submit(p, no_op, NULL, 0);
	while (next_done(p))
		;
	submit(p, two_megabytes, NULL, 0);
	int64_t between = submit(p, no_op, NULL, 0);
	submit(p, in_two_pieces, NULL, 0);
	while ((ev = next_done(p)) && ev->id != between)
		;
	shared->go = 1;
	pause_ms(2500);
	assert_non_null(ev = next_done(p));
	assert_int_equal(ev->result->status, 0);
	assert_int_equal(ev->len, 8 + (7 << 20));
	assert_memory_equal(ev->data, "precious", 8);
	close_pool(p);
}

static int large_and_touched(struct prong_task *t)
{
	enum { LARGE = 16 << 20 };
	char *b = prong_reply_room(t, LARGE);
	if (b)
		memset(b, 'b', LARGE);
	return b == NULL;
}

/* Of all files that this process has open, its memory's too. */
static int64_t bytes_in_files(void)
{
	int64_t sum = 0;
	struct stat st;
	for (int fd = 3; fd < 200; fd++)
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			sum += (int64_t)st.st_blocks * 512;
	return sum;
}

static void an_idle_worker_gives_its_memory_back(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1 });
	const struct prong_event *ev;
	int64_t had = bytes_in_files();
	(void)state;
	for (int round = 0; round < 2; round++) { /* it works on in what it gave back */
		submit(p, large_and_touched, NULL, 0);
		assert_non_null(ev = next_done(p));
		assert_int_equal(ev->len, 16 << 20);
		assert_int_equal(((const char *)ev->data)[ev->len - 1], 'b');
		assert_true(bytes_in_files() - had >= 16 << 20);
		assert_null(next_done(p));
		for (int i = 0; i < 600 && bytes_in_files() - had > 1 << 20; i++)
			pause_ms(50);
		assert_true(bytes_in_files() - had <= 1 << 20);
	}
	close_pool(p);
}

static int first_byte(struct prong_task *t)
{
	return *(const unsigned char *)t->data;
}

static void payloads_are_copied_unless_borrowed(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1 });
	unsigned char b = 1;
	(void)state;
	submit(p, first_byte, &b, 1);
	assert_true(prong_submit(p, PRONG_SPEC(.work = first_byte, .engine = "worker", .task = &b,
	                                       .task_len = 1, .flags = PRONG_BORROW)) > 0);
	b = 2;
	assert_int_equal(next_done(p)->result->status, 1);
	assert_int_equal(next_done(p)->result->status, 2);
	close_pool(p);
}

/* ---- seeds ---- */

static int say_seed(struct prong_task *t)
{
	struct { uint64_t seed; char env[24]; } s = { .seed = t->seed };
	const char *env = getenv("PRONG_SEED");
	snprintf(s.env, sizeof s.env, "%s", env ? env : "");
	return prong_reply(t, &s, sizeof s);
}

static void seeds_differ_and_repeat(void **state)
{
	enum { N = 500 };
	static struct { uint64_t seed; char env[24]; } got[3][N + 1];
	(void)state;
	for (int run = 0; run < 3; run++) {
		struct prong *p = open_with((struct prong_options){ .jobs = run + 1, .seed = 77 });
		for (int i = 0; i < (run == 2 ? 20 : N); i++)
			prong_submit(p, PRONG_SPEC(.work = say_seed, .engine = run == 2 ? NULL : "worker"));
		for (const struct prong_event *ev; (ev = next_done(p));) {
			assert_int_equal(ev->len, sizeof got[run][0]);
			memcpy(&got[run][ev->id], ev->data, ev->len);
		}
		close_pool(p);
	}
	assert_memory_equal(got[0], got[1], sizeof got[0]); /* whatever worker */
	assert_memory_equal(got[0], got[2], 21 * sizeof got[0][0]); /* whatever engine */
	for (int i = 1; i <= N; i++) {
		assert_int_equal(strlen(got[0][i].env), 10);
		assert_true(atol(got[0][i].env) <= INT32_MAX); /* fits atoi() and srand() */
		for (int j = 1; j < i; j++) {
			assert_true(got[0][i].seed != got[0][j].seed);
			assert_string_not_equal(got[0][i].env, got[0][j].env);
		}
	}
}

/* ---- the life of a worker ---- */

static int init(void *arg)
{
	int n = atomic_fetch_add(&((struct shared *)arg)->inits, 1);
	shared->pids[n % 16] = getpid();
	return 0;
}

static void leave(void *arg)
{
	atomic_fetch_add(&((struct shared *)arg)->leaves, 1);
}

static int nothing(struct prong_task *t)
{
	(void)t;
	atomic_fetch_add(&shared->runs, 1);
	return 0;
}

static void hooks_run_once_in_each(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 3, .worker_init = init,
		.worker_exit = leave, .worker_arg = shared });
	int n = 0;
	(void)state;
	for (int i = 0; i < 5000; i++)
		submit(p, nothing, NULL, 0);
	while (next_done(p))
		n++;
	assert_int_equal(n, 5000);
	assert_int_equal(shared->runs, 5000);
	assert_in_range(shared->inits, 1, 3);
	int inits = shared->inits;
	close_pool(p);
	assert_int_equal(shared->leaves, inits);
}

static int bad_init(void *arg)
{
	(void)arg;
	atomic_fetch_add(&shared->inits, 1);
	return ENOTDIR;
}

static pid_t fork_a_leader(void *arg)
{
	pid_t pid = fork();
	(void)arg;
	if (pid == 0)
		setsid(); /* may not make a group of its own any more */
	return pid;
}

static void a_set_up_that_fails_names_the_step(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 2, .fork = fork_a_leader });
	int n = 0;
	(void)state;
	for (int i = 0; i < 5; i++)
		submit(p, nothing, NULL, 0);
	for (const struct prong_event *ev; (ev = next_done(p)); n++) {
		assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
		assert_int_equal(ev->result->step, PRONG_STEP_GROUP);
		assert_int_equal(ev->result->status, EPERM);
	}
	assert_int_equal(n, 5);
	close_pool(p);
}

static void init_that_fails_is_told_not_repeated_for_ever(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 2, .worker_init = bad_init });
	int n = 0;
	(void)state;
	for (int i = 0; i < 20; i++)
		submit(p, nothing, NULL, 0);
	for (const struct prong_event *ev; (ev = next_done(p)); n++) {
		assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
		assert_int_equal(ev->result->step, PRONG_STEP_INIT);
		assert_int_equal(ev->result->status, ENOTDIR);
	}
	assert_int_equal(n, 20);
	assert_int_equal(shared->runs, 0);
	assert_in_range(shared->inits, 3, 30);
	close_pool(p);
}

static void recycled_after_n_tasks(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1, .worker_init = init,
		.worker_exit = leave, .worker_arg = shared, .recycle_tasks = 10 });
	int n = 0;
	(void)state;
	for (int i = 0; i < 95; i++)
		submit(p, nothing, NULL, 0);
	while (next_done(p))
		n++;
	assert_int_equal(n, 95);
	assert_int_equal(shared->runs, 95);
	assert_int_equal(shared->inits, 10);
	close_pool(p);
	assert_int_equal(shared->leaves, 10);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static int hoard(struct prong_task *t)
{
	(void)t;
	volatile char *m = malloc(4 << 20); /* volatile: clang leaves out what nobody reads */
	for (size_t i = 0; m && i < 4 << 20; i += 1024)
		m[i] = 1;
	pause_ms(25); /* as long as the worker goes unweighed at most */
	atomic_fetch_add(&shared->runs, 1);
	return m == NULL;
}
#endif

static void recycled_when_it_has_grown(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)state;
	skip(); /* resident memory is not what the program uses */
#else
	struct prong *p = open_with((struct prong_options){ .jobs = 1, .worker_init = init,
		.worker_arg = shared, .recycle_rss = 30 << 20 });
	int n = 0;
	(void)state;
	for (int i = 0; i < 40; i++)
		submit(p, hoard, NULL, 0);
	while (next_done(p))
		n++;
	assert_int_equal(n, 40);
	assert_int_equal(shared->runs, 40);
	assert_in_range(shared->inits, 3, 10);
	close_pool(p);
#endif
}

static void busy_workers_too_many_go_when_they_are_done(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 3, .worker_init = init,
		.worker_exit = leave, .worker_arg = shared });
	const struct prong_event *ev;
	(void)state;
	for (int i = 0; i < 3; i++)
		submit(p, until_told, NULL, 0);
	while (shared->inits < 3)
		assert_int_equal(prong_wait(p, &ev, 10), 0);
	assert_int_equal(prong_resize(p, 1), 0);
	shared->go = 1;
	while (next_done(p))
		;
	for (int i = 0; i < 200 && shared->leaves < 2; i++)
		pause_ms(50);
	assert_int_equal(shared->leaves, 2);
	close_pool(p);
	assert_int_equal(shared->leaves, 3);
}

static void an_idle_worker_that_dies_costs_nothing(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1, .worker_init = init,
		.worker_arg = shared });
	(void)state;
	for (int i = 0; i < 8; i++) {
		submit(p, nothing, NULL, 0);
		const struct prong_event *ev = next_done(p);
		assert_int_equal(ev->result->how, PRONG_EXITED);
		assert_null(next_done(p));
		kill(shared->pids[i], SIGKILL);
		if (i % 2)
			pause_ms(5);
	}
	assert_int_equal(shared->runs, 8);
	close_pool(p);
}

static int leave_by_exit(struct prong_task *t)
{
	prong_reply(t, "lost", 4);
	_exit(9);
}

static int crash(struct prong_task *t)
{
	(void)t;
	raise(SIGSEGV);
	return 0;
}

static void the_certificate_names_the_death(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1 });
	(void)state;
	submit(p, nothing, NULL, 0);
	int64_t exits = submit(p, leave_by_exit, NULL, 0), crashes = submit(p, crash, NULL, 0);
	submit(p, nothing, NULL, 0);
	for (const struct prong_event *ev; (ev = next_done(p));) {
		bool died = ev->id == exits || ev->id == crashes;
		assert_int_equal(ev->result->how, ev->id == crashes ? PRONG_SIGNALED : PRONG_EXITED);
		assert_int_equal(ev->result->status, ev->id == crashes ? SIGSEGV
		                                     : ev->id == exits ? 9 : 0);
		assert_true(!died || ev->result->usage.ru_maxrss > 0);
		assert_int_equal(ev->len, 0);
	}
	assert_int_equal(shared->runs, 2);
	close_pool(p);
}

static int sleep_ms(struct prong_task *t)
{
	int ms, n = atomic_fetch_add(&shared->at_once, 1) + 1;
	memcpy(&ms, t->data, sizeof ms);
	if (n > shared->most)
		shared->most = n;
	if (ms)
		pause_ms(ms);
	atomic_fetch_sub(&shared->at_once, 1);
	return 0;
}

/* Short ones teach it to hand out many ahead; those behind a long one must not wait for it. */
static void nothing_waits_behind_a_long_task(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 2 });
	int none = 0, hour = 3600000, before = 0;
	(void)state;
	for (int i = 0; i < 2000; i++)
		submit(p, sleep_ms, &none, sizeof none);
	int64_t lng = submit(p, sleep_ms, &hour, sizeof hour);
	for (int i = 0; i < 2000; i++)
		submit(p, sleep_ms, &none, sizeof none);
	for (const struct prong_event *ev; before < 4000 && (ev = next_done(p)); before++)
		assert_true(ev->id != lng);
	assert_int_equal(before, 4000);
	assert_int_equal(prong_stop(p, lng), 0);
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->id, lng);
	assert_int_equal(ev->result->how, PRONG_CANCELLED);
	close_pool(p);
}

/* A host that never waits, and whose small tasks one worker can do, has the others do them when
 * that one, and two more, are at long ones. */
static void nothing_waits_where_the_host_looks_only(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 4 });
	const struct prong_event *ev;
	int hour = 3600000, sent = 0, done = 0, r;
	time_t late = time(NULL) + 60;
	(void)state;
	while ((r = prong_wait(p, &ev, 0)) >= 0 || sent < 50000)
		for (unsigned room = prong_task_room(p); room && sent < 50000; room--, sent++)
			submit(p, nothing, NULL, 0);
	for (int i = 0; i < 3; i++)
		submit(p, sleep_ms, &hour, sizeof hour);
	for (int i = 0; i < 2000; i++)
		submit(p, nothing, NULL, 0);
	for (; done < 2000 && time(NULL) < late; done += r == 1)
		if ((r = prong_wait(p, &ev, 0)) == 0)
			pause_ms(1);
	assert_int_equal(done, 2000);
	assert_int_equal(prong_stop(p, 0), 0);
	while (next_done(p))
		;
	close_pool(p);
}

static void spin_ns(long ns)
{
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < ns);
}

static int three_us(struct prong_task *t)
{
	(void)t;
	spin_ns(3000);
	return 0;
}

/* Aimed at tasks that are over in a moment, with others queued behind them.  A wrong
 * hit would be rare: so many times, but not with valgrind, which forks slowly. */
static void a_signal_hits_no_other_task(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 1 });
	const struct prong_event *ev;
	(void)state;
	for (int round = 0; round < (getenv("UNDER_VALGRIND") ? 20 : 2000); round++) {
		int64_t first = 0, last = 0, aimed = 0;
		for (int i = 0; i < 64; i++) {
			last = submit(p, three_us, NULL, 0);
			first = first ? first : last;
		}
		prong_wait(p, &ev, 0);
		for (int64_t id = first; id <= last && !aimed; id++)
			aimed = prong_signal(p, id, SIGKILL) == 0 ? id : 0;
		while ((ev = next_done(p)))
			assert_true(ev->result->how == PRONG_EXITED || ev->id == aimed);
	}
	close_pool(p);
}

static void few_long_tasks_are_spread(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 4 });
	int ms = 200;
	(void)state;
	for (int i = 0; i < 8; i++)
		submit(p, sleep_ms, &ms, sizeof ms);
	while (next_done(p))
		assert_true(prong_running(p) <= 4);
	assert_int_equal(shared->most, 4);
	close_pool(p);
}

static int spin(struct prong_task *t)
{
	int ns;
	memcpy(&ns, t->data, sizeof ns);
	spin_ns(ns);
	return 0;
}

/* The end of one tells that tasks are not small any more, when all that fits has been handed out. */
static void others_are_fed_when_tasks_turn_out_longer(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 4 });
	int small = 1400, middle = 40000, ms = 1000;
	(void)state;
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 20000; i++) {
			submit(p, spin, &small, sizeof small);
			if (i % 2000 == 1999)
				while (next_done(p))
					spin_ns(6000); /* the host is slower than its workers */
		}
		submit(p, spin, &middle, sizeof middle);
		int64_t lng = submit(p, sleep_ms, &ms, sizeof ms), last = 0;
		submit(p, spin, &small, sizeof small);
		submit(p, spin, &small, sizeof small);
		for (const struct prong_event *ev; (ev = next_done(p));)
			last = ev->id;
		assert_int_equal(last, lng);
	}
	close_pool(p);
}

/* Of the many small ones before few workers were enough. */
static void long_ones_are_spread_after_small_ones(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 4 });
	const struct prong_event *ev;
	int ms = 500, sent = 0, r;
	(void)state;
	do {
		for (unsigned room = prong_task_room(p); room && sent < 100000; room--, sent++)
			submit(p, nothing, NULL, 0);
		r = prong_wait(p, &ev, -1);
	} while (r == 1);
	for (int i = 0; i < 4; i++)
		submit(p, sleep_ms, &ms, sizeof ms);
	while (next_done(p))
		;
	assert_int_equal(shared->most, 4);
	close_pool(p);
}

static void engines_share_the_slots(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 3 });
	char *argv[] = { "sleep", "0.01", NULL };
	const struct prong_event *ev;
	int ms = 5, n = 0;
	(void)state;
	for (int i = 0; i < 60; i++) {
		assert_true(prong_submit(p, i % 3 == 0 ? PRONG_SPEC(.argv = argv)
		                            : PRONG_SPEC(.work = sleep_ms, .task = &ms,
		                                         .task_len = sizeof ms,
		                                         .engine = i % 3 == 1 ? "worker" : NULL)) > 0);
	}
	while (prong_wait(p, &ev, 60000) == 1) {
		assert_true(prong_running(p) <= 3);
		assert_true(ev->type != PRONG_DONE || ev->slot <= 3);
		n += ev->type == PRONG_DONE && ev->result->status == 0;
	}
	assert_int_equal(n, 60);
	close_pool(p);
}

/* Small tasks are taken from the rings without a look at anything else.  Not for ever. */
static void a_stream_of_tasks_hides_no_process(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 3 });
	char *argv[] = { "true", NULL };
	const struct prong_event *ev;
	int64_t id = prong_submit(p, PRONG_SPEC(.argv = argv));
	bool over = false;
	time_t late = time(NULL) + 60;
	(void)state;
	assert_true(id > 0);
	while (!over) { /* never empty: the process must be heard of beside it */
		for (unsigned room = prong_task_room(p); room; room--)
			submit(p, nothing, NULL, 0);
		assert_int_equal(prong_wait(p, &ev, 60000), 1);
		over = ev->type == PRONG_DONE && ev->id == id;
		assert_true(time(NULL) < late);
	}
	while (next_done(p))
		;
	close_pool(p);
}

static void each_task_has_its_own_time(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 2 });
	int late = 0, fine = 0;
	(void)state;
	for (int i = 0; i < 200; i++) { /* 5 of them would take an hour */
		int ms = i % 40 == 7 ? 3600000 : 1;
		assert_true(prong_submit(p, PRONG_SPEC(.work = sleep_ms, .engine = "worker",
		                                       .task = &ms, .task_len = sizeof ms,
		                                       .timeout_ms = ms > 1 ? 100 : 60000)) > 0);
	}
	for (const struct prong_event *ev; (ev = next_done(p));) {
		late += ev->result->how == PRONG_TIMEDOUT && (ev->id - 1) % 40 == 7;
		fine += ev->result->how == PRONG_EXITED && (ev->id - 1) % 40 != 7;
	}
	assert_int_equal(late, 5);
	assert_int_equal(fine, 195);
	close_pool(p);
}

/* ---- what a worker is ---- */

static void on_signal(int sig)
{
	(void)sig;
}

static int look_around(struct prong_task *t)
{
	struct sigaction sa;
	sigset_t mask;
	sigaction(SIGUSR1, NULL, &sa);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	char line[8];
	bool null = fgets(line, sizeof line, stdin) == NULL;
	return (sa.sa_handler != SIG_DFL) | sigismember(&mask, SIGUSR2) << 1 | !null << 2 |
	       (t->slot < 1 || t->slot > 2) << 3;
}

static void caught_signals_are_default_and_stdin_is_null(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	sigset_t some, was;
	(void)state;
	sigaction(SIGUSR1, &sa, &old);
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigprocmask(SIG_BLOCK, &some, &was);
	struct prong *p = open_with((struct prong_options){ .jobs = 2 });
	for (int i = 0; i < 4; i++)
		submit(p, look_around, NULL, 0);
	for (const struct prong_event *ev; (ev = next_done(p));)
		assert_int_equal(ev->result->status, 1 << 1); /* the mask is the caller's */
	close_pool(p);
	sigprocmask(SIG_SETMASK, &was, NULL);
	sigaction(SIGUSR1, &old, NULL);
}

/* ---- in a host's own loop ---- */

static void one_fd_tells_all(void **state)
{
	struct prong *p = open_with((struct prong_options){ .jobs = 2 });
	struct pollfd pfd = { prong_fd(p), POLLIN, 0 };
	const struct prong_event *ev;
	int n = 0, r;
	(void)state;
	if (pfd.fd == -ENOTSUP) { /* the posix backend has none */
		prong_close(p);
		skip();
	}
	for (int i = 0; i < 3000; i++) {
		int ms = i % 500 == 99 ? 20 : 0;
		submit(p, sleep_ms, &ms, sizeof ms);
	}
	for (;;) {
		while ((r = prong_wait(p, &ev, 0)) == 1)
			n += ev->type == PRONG_DONE;
		if (r < 0)
			break;
		assert_int_equal(poll(&pfd, 1, 30000), 1); /* or it was not told */
	}
	assert_int_equal(n, 3000);
	close_pool(p);
}

static void windows_of_all_sizes(void **state)
{
	static const unsigned windows[] = { 1, 2, 3, 64, 1024 };
	(void)state;
	for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
		struct prong *p = open_with((struct prong_options){ .jobs = 2, .window = windows[i] });
		int n = 0;
		for (int k = 0; k < 3000; k++)
			submit(p, nothing, NULL, 0);
		while (next_done(p))
			n++;
		assert_int_equal(n, 3000);
		assert_int_equal(shared->runs, 3000);
		close_pool(p);
	}
}

/* ---- the host dies ---- */

static void host_that_dies(unsigned flags, int busy)
{
	struct prong *p;
	int hour = 3600000;
	const struct prong_event *ev;
	struct prong_options o = { .size = sizeof o, .jobs = 3, .flags = flags,
		                   .worker_init = init, .worker_arg = shared };
	if (prong_open(&p, &o) != 0)
		_exit(1);
	for (int i = 0; i < 3; i++)
		prong_submit(p, PRONG_SPEC(.work = sleep_ms, .engine = "worker",
		                           .task = busy ? &hour : &(int){ 50 },
		                           .task_len = sizeof hour));
	while (prong_wait(p, &ev, busy ? 300 : -1) == 1)
		;
	raise(SIGKILL);
}

static void see_workers_go(unsigned flags, int busy)
{
	int left = 3;
	memset(shared, 0, sizeof *shared);
	pid_t host = fork();
	if (host == 0)
		host_that_dies(flags, busy);
	assert_int_equal(waitpid(host, NULL, 0), host);
	assert_int_equal(shared->inits, 3);
	for (int i = 0; i < 600 && left; i++) {
		pause_ms(50);
		left = 0;
		for (int k = 0; k < 3; k++)
			left += kill(shared->pids[k], 0) == 0;
	}
	assert_int_equal(left, 0);
}

static void workers_do_not_outlive_their_host(void **state)
{
	(void)state;
	see_workers_go(0, 0);
#ifdef __linux__
	struct prong_options o = { .size = sizeof o, .flags = PRONG_DEATHSIG };
	struct prong *p;
	assert_int_equal(prong_open(&p, &o), 0);
	int fd = prong_fd(p);
	prong_close(p);
	if (fd >= 0) /* the linux backend */
		see_workers_go(PRONG_DEATHSIG, 1);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_of_any_size_come_back),
		cmocka_unit_test(nobody_blocks_for_ever),
		cmocka_unit_test(payloads_never_overlap),
		cmocka_unit_test(a_reply_that_waits_for_room_stays_whole),
		cmocka_unit_test(an_idle_worker_gives_its_memory_back),
		cmocka_unit_test(payloads_are_copied_unless_borrowed),
		cmocka_unit_test(seeds_differ_and_repeat),
		cmocka_unit_test(hooks_run_once_in_each),
		cmocka_unit_test(a_set_up_that_fails_names_the_step),
		cmocka_unit_test(init_that_fails_is_told_not_repeated_for_ever),
		cmocka_unit_test(recycled_after_n_tasks),
		cmocka_unit_test(recycled_when_it_has_grown),
		cmocka_unit_test(busy_workers_too_many_go_when_they_are_done),
		cmocka_unit_test(an_idle_worker_that_dies_costs_nothing),
		cmocka_unit_test(the_certificate_names_the_death),
		cmocka_unit_test(nothing_waits_behind_a_long_task),
		cmocka_unit_test(nothing_waits_where_the_host_looks_only),
		cmocka_unit_test(a_signal_hits_no_other_task),
		cmocka_unit_test(few_long_tasks_are_spread),
		cmocka_unit_test(others_are_fed_when_tasks_turn_out_longer),
		cmocka_unit_test(long_ones_are_spread_after_small_ones),
		cmocka_unit_test(engines_share_the_slots),
		cmocka_unit_test(a_stream_of_tasks_hides_no_process),
		cmocka_unit_test(each_task_has_its_own_time),
		cmocka_unit_test(caught_signals_are_default_and_stdin_is_null),
		cmocka_unit_test(one_fd_tells_all),
		cmocka_unit_test(windows_of_all_sizes),
		cmocka_unit_test(workers_do_not_outlive_their_host),
	};
	shared = prong_shared(sizeof *shared);
	return shared ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
