/* chaos.c - many small tasks on standing workers while somebody kills workers at random.
 *
 *   chaos [TASKS [WORKERS [EVERY_MS]]]          1000000 4 50
 *
 * Each task writes down in shared memory that it began, and that it ended.  Afterwards every
 * task must have ended exactly once: as done (began and ended, once), or as killed while it
 * ran (began, once).  None lost, none twice; no zombie, no fd, no growth. */
#include <prong.h>

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct trace {
	_Atomic unsigned char began, ended;
};

struct order {
	struct trace *trace;
	uint32_t n, length; /* this much of the payload comes back */
	char bytes[200];
};

enum { PIDS = 64 };
static _Atomic pid_t *pids; /* of the workers, for the killer; then how many it killed */

/* In each new worker: say who we are. */
static int enroll(void *arg)
{
	(void)arg;
	for (int i = 0;; i = (i + 1) % PIDS) {
		pid_t was = atomic_load(&pids[i]);
		bool free_place = !was || kill(was, 0) != 0;
		if (free_place && atomic_compare_exchange_strong(&pids[i], &was, getpid()))
			return 0;
	}
}

static int work(struct prong_task *t)
{
	const struct order *o = t->data;
	atomic_fetch_add(&o->trace[o->n].began, 1);
	for (volatile unsigned spin = 0; spin < o->n % 1000 * 40; spin++)
		; /* up to some 50 microseconds */
	if (prong_reply(t, o->bytes, o->length) != 0)
		return 2;
	atomic_fetch_add(&o->trace[o->n].ended, 1);
	return (int)(o->n % 7);
}

static void killer(int every_ms, pid_t host)
{
	unsigned x = 12345;
	while (getppid() == host) {
		nanosleep(&(struct timespec){ every_ms / 1000, every_ms % 1000 * 1000000L }, NULL);
		for (int tries = 0; tries < 1000; tries++) {
			x = x * 1103515245u + 12345u;
			pid_t pid = atomic_load(&pids[(x >> 16) % PIDS]);
			if (pid && kill(pid, SIGKILL) == 0) {
				atomic_fetch_add(&pids[PIDS], 1);
				break;
			}
		}
	}
	_exit(0);
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static long rss_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

struct tally {
	uint32_t n, done, killed, wrong;
	unsigned char *seen;
	struct trace *trace;
};

static int64_t submit(struct prong *p, struct tally *t, uint32_t n)
{
	struct order o = { .trace = t->trace, .n = n, .length = n % sizeof o.bytes };
	memset(o.bytes, 'a' + (int)(n % 26), sizeof o.bytes);
	return prong_submit(p, PRONG_SPEC(.work = work, .task = &o, .task_len = sizeof o,
	                                  .engine = "worker"));
}

static bool reply_ok(const struct prong_event *ev, uint32_t n)
{
	size_t len = n % sizeof((struct order *)0)->bytes;
	const char *s = ev->data;
	if (ev->len != len || ev->result->status != (int)(n % 7))
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] != 'a' + (int)(n % 26))
			return false;
	return true;
}

static void note(struct tally *t, const struct prong_event *ev)
{
	uint32_t n = (uint32_t)ev->id - 1;
	struct trace *tr = &t->trace[n];
	unsigned char began = atomic_load(&tr->began), ended = atomic_load(&tr->ended);
	bool ok = t->seen[n]++ == 0;
	if (ev->result->how == PRONG_EXITED) {
		t->done++;
		ok &= began == 1 && ended == 1 && reply_ok(ev, n);
	} else { /* it may have been hit just before its first, or after its last word */
		t->killed++;
		ok &= ev->result->how == PRONG_SIGNALED && ev->result->status == SIGKILL &&
		      began <= 1 && ended <= began;
	}
	if (!ok && t->wrong++ < 10)
		fprintf(stderr, "task %u: how %d status %d seen %d began %d ended %d len %zu\n", n,
		        ev->result->how, ev->result->status, t->seen[n], began, ended, ev->len);
}

static int run(struct prong *p, struct tally *t, long *grown)
{
	const struct prong_event *ev;
	uint32_t sent = 0;
	long first = 0;
	int r = 1;
	while (sent < t->n || r == 1) {
		for (unsigned room = prong_task_room(p); room && sent < t->n; room--)
			if (submit(p, t, sent++) < 0)
				return -1;
		r = prong_wait(p, &ev, 60000);
		if (r == 0)
			return fprintf(stderr, "nothing for a minute\n"), -1;
		if (r == 1 && ev->type == PRONG_DONE)
			note(t, ev);
		if (r == 1 && t->done + t->killed == t->n / 4)
			first = rss_kb();
	}
	/* the traces and `seen` grow as they are touched: 3 bytes a task */
	*grown = rss_kb() - first - (long)(t->n - t->n / 4) * 3 / 1024;
	return r == -ECHILD ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct tally t = { .n = argc > 1 ? (uint32_t)atol(argv[1]) : 1000000 };
	unsigned workers = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
	int every_ms = argc > 3 ? atoi(argv[3]) : 50, status;
	struct prong *p;
	long grown = 0;
	t.seen = calloc(t.n, 1);
	t.trace = prong_shared(t.n * sizeof *t.trace);
	pids = prong_shared((PIDS + 1) * sizeof *pids);
	if (!t.seen || !t.trace || !pids)
		return perror("memory"), 2;
	unsigned fds = count_fds();
	pid_t host = getpid(), k = fork();
	if (k == 0)
		killer(every_ms, host);
	if (prong_open(&p, &(struct prong_options){ .size = sizeof(struct prong_options),
	                                            .jobs = workers, .worker_init = enroll }) != 0)
		return 2;
	int e = run(p, &t, &grown);
	prong_close(p);
	kill(k, SIGKILL);
	waitpid(k, &status, 0);
	bool zombie = waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD;
	uint32_t lost = 0;
	for (uint32_t n = 0; n < t.n; n++)
		lost += t.seen[n] != 1;
	free(t.seen);
	bool leak = count_fds() != fds;
	printf("%d workers killed; %u tasks: %u done, %u killed while running, %u lost or twice, "
	       "%u wrong; %s, %s, host grew by %ld KiB\n",
	       (int)atomic_load(&pids[PIDS]), t.n, t.done, t.killed, lost, t.wrong, zombie ? "a child left" : "no child left",
	       leak ? "fds left" : "no fd left", grown);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	grown = 0; /* they keep what is freed */
#endif
	return e != 0 || lost || t.wrong || zombie || leak || grown > 4096;
}
