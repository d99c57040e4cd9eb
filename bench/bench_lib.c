/* bench_lib.c - libprong beside the same thing written by hand, interleaved in one run.
 *
 *   cc -O2 -fopenmp bench/bench_lib.c $(pkg-config --cflags --libs --static prong) && ./a.out
 *   bench/bench_lib [ROUNDS [SCALE [WHAT...]]]      (ninja bench_lib; make bench-lib)
 *
 * WHAT: fork, fork2g, tasks, map; all of them if none is named.  Each round runs every runner
 * once, in rotating order; figures are medians.  SCALE 1 is 2,000 forks, 2,000,000 tasks and
 * a map of 10,000,000 items of 1 KB (10 GB of memory); 0.1 is a tenth of it. */
#include <prong.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD /* glibc < 2.36 */
#define P_PIDFD 3
#endif

enum { JOBS = 2, WINDOW = 64, ITEM = 1024, MAX_RUNNERS = 4, MAX_ROUNDS = 101 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of this process and the children it has waited for: other load on the machine lengthens the
 * wall clock, and this hardly. */
static double cpu(void)
{
	double sum = 0;
	struct rusage u;
	for (int who = 0; who < 2; who++) {
		getrusage(who ? RUSAGE_CHILDREN : RUSAGE_SELF, &u);
		sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
	}
	return sum;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static struct prong *open_pool(void)
{
	struct prong *p;
	if (prong_open(&p, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                            .jobs = JOBS }) != 0)
		die("prong_open");
	return p;
}

/* ---- one fork for each task ---- */

static int nothing_fn(void *arg, int fd)
{
	(void)arg, (void)fd;
	return 0;
}

static void fork_prong(size_t n)
{
	struct prong *p = open_pool();
	const struct prong_event *ev;
	size_t sent = 0;
	int r;
	do {
		for (unsigned room = prong_room(p); room && sent < n; room--, sent++)
			prong_submit(p, PRONG_SPEC(.fn = nothing_fn, .out.how = PRONG_INHERIT,
			                           .err.how = PRONG_INHERIT));
		r = prong_wait(p, &ev, -1);
	} while (r == 1 || sent < n);
	prong_close(p);
}

static void fork_bare(size_t n)
{
	size_t sent = 0, running = 0;
	while (sent < n || running) {
		if (sent < n && running < JOBS) {
			pid_t pid = fork();
			if (pid == 0)
				_exit(0);
			if (pid < 0)
				die("fork");
			sent++;
			running++;
		} else if (waitpid(-1, NULL, 0) > 0) {
			running--;
		}
	}
}

/* By hand with what ours promises of a child: no handler of the host's, a group of its own, an
 * empty stdin, none of our descriptors; waited for beside whatever else the host has. */
struct careful {
	int null, set, running;
	int pidfd[JOBS];
};

static void careful_child(const struct careful *c)
{
	struct sigaction sa;
	for (int sig = 1; sig < NSIG; sig++)
		if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler != SIG_IGN &&
		    sa.sa_handler != SIG_DFL)
			signal(sig, SIG_DFL);
	setpgid(0, 0);
	dup2(c->null, 0);
	close(c->null);
	close(c->set);
	for (int i = 0; i < JOBS; i++)
		if (c->pidfd[i] >= 0)
			close(c->pidfd[i]);
	_exit(0);
}

static void careful_start(struct careful *c)
{
	sigset_t all, had;
	int i = 0;
	while (c->pidfd[i] >= 0)
		i++;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &had);
	pid_t pid = fork();
	if (pid == 0)
		careful_child(c);
	sigprocmask(SIG_SETMASK, &had, NULL);
	c->pidfd[i] = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = (uint32_t)i };
	if (c->pidfd[i] < 0 || epoll_ctl(c->set, EPOLL_CTL_ADD, c->pidfd[i], &e) != 0)
		die("fork, by hand with care");
	c->running++;
}

static void careful_wait(struct careful *c)
{
	struct epoll_event e[JOBS];
	for (int r = epoll_wait(c->set, e, JOBS, -1); r > 0; c->running--) {
		int *fd = &c->pidfd[e[--r].data.u32];
		siginfo_t si;
		struct rusage u;
		if (syscall(SYS_waitid, P_PIDFD, *fd, &si, WEXITED, &u) != 0)
			die("waitid");
		close(*fd);
		*fd = -1;
	}
}

static void fork_careful(size_t n)
{
	struct careful c = { .null = open("/dev/null", O_RDWR | O_CLOEXEC),
		             .set = epoll_create1(EPOLL_CLOEXEC) };
	memset(c.pidfd, -1, sizeof c.pidfd);
	for (size_t sent = 0; sent < n || c.running;)
		if (sent < n && c.running < JOBS) {
			careful_start(&c);
			sent++;
		} else {
			careful_wait(&c);
		}
	close(c.null);
	close(c.set);
}

/* ---- empty tasks ---- */

static int nothing(struct prong_task *t)
{
	(void)t;
	return 0;
}

static void tasks_prong(size_t n)
{
	struct prong *p = open_pool();
	const struct prong_event *ev;
	struct prong_spec spec = { .size = sizeof spec, .work = nothing, .engine = "worker" };
	size_t sent = 0;
	int r;
	do {
		for (unsigned room = prong_task_room(p); room && sent < n; room--, sent++)
			prong_submit(p, &spec);
		r = prong_wait(p, &ev, -1);
	} while (r == 1);
	prong_close(p);
}

/* By hand: a window of tasks in each worker's pipe, one write for each refill. */
struct frame {
	int64_t id;
	uint32_t len, status;
};

static void hand_worker(int in, int out)
{
	struct frame f[WINDOW * 2];
	ssize_t r;
	while ((r = read(in, f, sizeof f)) > 0) {
		for (size_t i = 0; i < (size_t)r / sizeof *f; i++)
			f[i].status = 0;
		if (write(out, f, (size_t)r) != r)
			break;
	}
	_exit(0);
}

static void tasks_hand(size_t n)
{
	int to[JOBS], from[JOBS], a[2], b[2];
	struct pollfd pfd[JOBS];
	struct frame f[WINDOW * 2];
	size_t sent = 0, done = 0;
	for (int i = 0; i < JOBS; i++) {
		if (pipe(a) != 0 || pipe(b) != 0)
			die("pipe");
		if (fork() == 0) {
			close(a[1]);
			for (int k = 0; k < i; k++)
				close(to[k]);
			hand_worker(a[0], b[1]);
		}
		close(a[0]);
		close(b[1]);
		to[i] = a[1];
		from[i] = b[0];
		pfd[i] = (struct pollfd){ from[i], POLLIN, 0 };
		size_t k = 0;
		while (k < WINDOW && sent < n)
			f[k++] = (struct frame){ .id = (int64_t)++sent };
		if (write(to[i], f, k * sizeof *f) < 0)
			die("write");
	}
	while (done < n) {
		if (poll(pfd, JOBS, -1) < 0)
			die("poll");
		for (int i = 0; i < JOBS; i++) {
			if (!pfd[i].revents)
				continue;
			ssize_t r = read(from[i], f, sizeof f);
			size_t got = r > 0 ? (size_t)r / sizeof *f : 0, k = 0;
			done += got;
			while (k < got && sent < n)
				f[k++] = (struct frame){ .id = (int64_t)++sent };
			if (k && write(to[i], f, k * sizeof *f) < 0)
				die("write");
		}
	}
	for (int i = 0; i < JOBS; i++) {
		close(to[i]);
		close(from[i]);
	}
	while (wait(NULL) > 0)
		;
}

/* ---- maps: 1 KB -> 8 B ---- */

static char *items;
static uint64_t *sums; /* shared */

static uint64_t sum_up(const void *in)
{
	const uint64_t *v = in;
	uint64_t s = 0;
	for (int i = 0; i < ITEM / 8; i++)
		s = s * 31 + v[i];
	return s;
}

static int map_item(size_t i, const void *in, void *out, void *arg)
{
	(void)i, (void)arg;
	*(uint64_t *)out = sum_up(in);
	return 0;
}

static void map_prong(size_t n)
{
	if (prong_map(PRONG_MAP(.n = n, .in = items, .in_size = ITEM, .out = sums, .out_size = 8,
	                        .fn = map_item, .jobs = JOBS, .flags = PRONG_OUT_SHARED)) != 0)
		die("prong_map");
}

static void map_hand(size_t n)
{
	for (size_t j = 0; j < JOBS; j++)
		if (fork() == 0) {
			for (size_t i = n * j / JOBS; i < n * (j + 1) / JOBS; i++)
				sums[i] = sum_up(items + i * ITEM);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
}

static void map_serial(size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = sum_up(items + i * ITEM);
}

static void map_openmp(size_t n)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(JOBS)
#endif
	for (size_t i = 0; i < n; i++)
		sums[i] = sum_up(items + i * ITEM);
}

/* ---- the comparison ---- */

struct runner {
	const char *name;
	void (*run)(size_t n);
	size_t share; /* runs n / share */
	double rate[MAX_ROUNDS], cpu[MAX_ROUNDS]; /* per second; seconds for each */
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The first is ours; what it is compared with comes second. */
static void compare(const char *what, struct runner *r, int runners, int rounds, size_t n)
{
	double base = 0;
	for (int i = 0; i < rounds; i++)
		for (int k = 0; k < runners; k++) {
			struct runner *it = &r[(i + k) % runners];
			size_t m = n / it->share ? n / it->share : 1;
			double t = now(), c = cpu();
			it->run(m);
			it->rate[i] = (double)m / (now() - t);
			it->cpu[i] = (cpu() - c) / (double)m;
		}
	for (int k = 0; k < runners; k++) {
		qsort(r[k].rate, (size_t)rounds, sizeof(double), by_value);
		qsort(r[k].cpu, (size_t)rounds, sizeof(double), by_value);
	}
	base = r[1].rate[rounds / 2];
	for (int k = 0; k < runners; k++)
		printf("%-20s %-20s %11.0f/s  x%.2f of by hand  %9.0f ns of CPU each\n", what,
		       r[k].name, r[k].rate[rounds / 2], r[k].rate[rounds / 2] / base,
		       r[k].cpu[rounds / 2] * 1e9);
	fflush(stdout);
}

static void bench_fork(const char *what, int rounds, size_t n)
{
	static struct runner r[] = { { "prong, fresh fork", fork_prong, 1, { 0 }, { 0 } },
		                     { "fork + waitpid", fork_bare, 1, { 0 }, { 0 } },
		                     { "with the same care", fork_careful, 1, { 0 }, { 0 } } };
	compare(what, r, 3, rounds, n);
}

static void bench_tasks(int rounds, size_t n)
{
	static struct runner r[] = { { "prong, workers", tasks_prong, 1, { 0 }, { 0 } },
		                     { "pipes, window 64", tasks_hand, 1, { 0 }, { 0 } },
		                     { "one fork for each", fork_bare, 1000, { 0 }, { 0 } } };
	compare("empty tasks", r, 3, rounds, n);
}

static void bench_map(int rounds, size_t n)
{
	static struct runner r[] = { { "prong_map", map_prong, 1, { 0 }, { 0 } },
		                     { "fork + MAP_SHARED", map_hand, 1, { 0 }, { 0 } },
		                     { "serial", map_serial, 1, { 0 }, { 0 } },
		                     { "OpenMP", map_openmp, 1, { 0 }, { 0 } } };
	items = malloc(n * ITEM);
	sums = prong_shared(n * sizeof *sums);
	if (!items || !sums)
		die("memory for the map (a smaller SCALE needs less)");
	for (size_t i = 0; i < n * ITEM; i += 8)
		*(uint64_t *)(void *)(items + i) = i * 0x9e3779b97f4a7c15u;
	memset(sums, 1, n * sizeof *sums);
	compare("map of 1 KB -> 8 B", r, 4, rounds, n);
	free(items);
	prong_shared_free(sums, n * sizeof *sums);
}

static int wanted(char **names, const char *name)
{
	if (!*names)
		return 1;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return 1;
	return 0;
}

/* Memory that is there, in pages of the usual size. */
static void grow_to(size_t bytes)
{
	char *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		die("mmap");
	memset(m, 1, bytes);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 5;
	double scale = argc > 2 ? atof(argv[2]) : 1;
	char **names = argc > 3 ? argv + 3 : argv + argc;
	if (rounds < 1 || rounds > MAX_ROUNDS || scale <= 0)
		return fprintf(stderr, "usage: bench_lib [ROUNDS [SCALE [fork|fork2g|tasks|map...]]]\n"), 2;
	if (wanted(names, "tasks"))
		bench_tasks(rounds, (size_t)(2e6 * scale));
	if (wanted(names, "map"))
		bench_map(rounds, (size_t)(1e7 * scale));
	grow_to(10 << 20);
	if (wanted(names, "fork"))
		bench_fork("host of 10 MB", rounds, (size_t)(2000 * scale));
	if (wanted(names, "fork2g")) {
		grow_to((size_t)2 << 30);
		bench_fork("host of 2 GB", rounds, (size_t)(200 * scale));
	}
	return 0;
}
