/* worker.c - the life of a standing worker, in the child: take a task, run it, lay the reply
 * down, and only sleep if there is nothing to take. */
#include "channel.h"
#include "os.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	OUT_MAX = 64 * 1024 * 1024, /* not grown beyond what is needed from here on */
	TRIM_FROM = 1024 * 1024,
	NAP_MS = 20,
	SAME_TICKS = 1500,          /* half a microsecond to one */
	LOOK_MS = 2000,             /* how often a sleeper looks whether its host lives */
	WEIGH_NS = 20 * 1000000     /* how often it looks at its own size */
};

#define NO_REPLY SIZE_MAX

struct worker_state {
	struct task task; /* first: prong_reply() comes with its address */
	struct desk *desk;
	size_t *end;      /* by cell: where its reply ends */
	uint32_t freed;   /* replies whose room we have back */
	uint32_t untold;  /* done since the host was told */
	uint32_t next;
	int statm;
	size_t rss;       /* at the beginning */
	int64_t weighed;
	int64_t now;      /* when it was looked at */
	uint64_t tick;
};

/* ---- talking to the host ---- */

static void tell(struct worker_state *ws)
{
	struct channel *ch = ws->desk->ch;
	ws->untold = 0;
	if (atomic_load(&ch->armed) && atomic_exchange(&ch->armed, 0) &&
	    send(ws->desk->sock, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		atomic_store(&ch->armed, 1); /* it may sleep on: told again before the next rest */
}

/* A host that died without closing the socket (a copy of it holds the other end) is not our
 * parent any more. */
static void leave_if_orphan(const struct desk *d)
{
	if (getppid() != d->host)
		_exit(0);
}

/* Until there is a byte; false: there was none for long.  What it says is in the channel. */
static bool doze(struct worker_state *ws)
{
	char bytes[64];
	bool heard = true;
	struct pollfd pfd = { .fd = ws->desk->sock, .events = POLLIN };
	ssize_t n = recv(ws->desk->sock, bytes, sizeof bytes, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN) {
		heard = poll(&pfd, 1, LOOK_MS) != 0;
		if (!heard)
			leave_if_orphan(ws->desk);
		n = recv(ws->desk->sock, bytes, sizeof bytes, MSG_DONTWAIT);
	}
	if (n == 0) /* the host is gone, or closed the pool */
		atomic_store(&ws->desk->ch->quit, 1);
	return heard;
}

/* ---- replies ---- */

static void take_back_room(struct worker_state *ws)
{
	struct desk *d = ws->desk;
	uint32_t freed = atomic_load_explicit(&d->ch->freed, memory_order_acquire);
	if (freed == ws->freed)
		return;
	for (; ws->freed != freed; ws->freed++) {
		size_t end = ws->end[ws->freed % d->ch->cells];
		if (end != NO_REPLY)
			d->out.tail = end;
	}
}

/* All room is used by replies that the host has not consumed: it must first. */
static void wait_for_room(struct worker_state *ws)
{
	struct channel *ch = ws->desk->ch;
	atomic_store(&ch->wants_room, 1);
	if (atomic_load(&ch->freed) == ws->freed) {
		tell(ws);
		doze(ws);
		if (atomic_load(&ch->quit))
			_exit(0); /* nobody will consume them */
	}
	atomic_store(&ch->wants_room, 0);
}

static int grow_out(struct fifo *q, size_t need)
{
	return pr_region_grow(&q->r, need > OUT_MAX / 4 ? need : need * 4);
}

/* Give the reply that is being made a contiguous place of n bytes, moving it if need be. */
static int place_reply(struct worker_state *ws, size_t n)
{
	struct task *t = &ws->task;
	struct fifo *q = &ws->desk->out;
	for (;;) {
		take_back_room(ws);
		bool empty = ws->freed == ws->next; /* all before this one are consumed */
		if (empty) /* this one may have been moved in front of them */
			q->tail = q->head;
		if (!empty && q->head < q->tail ? n < q->tail - q->head : n <= q->r.size - q->head)
			return 0;
		if (empty || (q->head > q->tail && n < q->tail)) {
			memmove(q->r.base, q->r.base + q->head, t->len);
			q->head = 0;
			if (empty)
				q->tail = 0;
			if (!empty || n <= q->r.size)
				continue;
			int e = grow_out(q, n);
			if (e != 0)
				return e;
			continue;
		}
		wait_for_room(ws);
	}
}

static void *more_room(struct task *t, size_t n)
{
	struct worker_state *ws = (struct worker_state *)t;
	struct fifo *q = &ws->desk->out;
	if (n > SIZE_MAX / 8 - t->len || place_reply(ws, pr_round16(t->len + n) + 16) != 0)
		return NULL;
	t->len += n;
	return q->r.base + q->head + t->len - n;
}

/* ---- tasks ---- */

static size_t resident(int statm)
{
	char text[64];
	ssize_t n = pread(statm, text, sizeof text - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

static void weigh(struct worker_state *ws, int64_t now, int64_t took)
{
	if (ws->statm < 0 || (now - ws->weighed < WEIGH_NS && took < WEIGH_NS / 20))
		return;
	ws->weighed = now;
	if (resident(ws->statm) > ws->rss + ws->desk->rss_limit)
		atomic_store(&ws->desk->ch->grown, 1);
}

static void run(struct worker_state *ws, struct cell *c)
{
	struct desk *d = ws->desk;
	struct prong_task *t = &ws->task.pub;
	*t = (struct prong_task){ .id = c->id, .arg = c->arg, .len = c->len,
		                  .attempt = c->attempt, .slot = c->slot,
		                  .seed = pr_seed(d->seed, c->id) };
	pr_seed_digits(d->seed_env + PR_SEED_NAME, d->seed, c->id);
	ws->task.len = 0;
	if (c->len && pr_region_see(&d->in, c->off + c->len) == 0)
		t->data = d->in.base + c->off;
	c->status = t->data || !t->len ? c->work(t) & 255 : 255;
	if (__fpending(stdout))
		fflush(stdout);
	c->off = d->out.head;
	c->len = ws->task.len;
	if (c->len)
		d->out.head += pr_round16(c->len);
	ws->end[c - d->ch->cell] = c->len ? d->out.head : NO_REPLY;
}

/* Take the next task, if it is not taken back meanwhile. */
static bool take(struct worker_state *ws, uint32_t *left)
{
	_Atomic uint64_t *gate = &ws->desk->ch->gate;
	uint64_t g = atomic_load_explicit(gate, memory_order_acquire);
	do {
		if (pr_gate_bound(g) == pr_gate_next(g))
			return false;
		ws->next = pr_gate_next(g);
	} while (!atomic_compare_exchange_weak(gate, &g, pr_gate(pr_gate_bound(g), ws->next + 1)));
	*left = pr_gate_bound(g) - (ws->next + 1);
	return true;
}

static bool work_ahead(const struct channel *ch)
{
	uint64_t g = atomic_load(&ch->gate);
	return pr_gate_bound(g) != pr_gate_next(g);
}

static bool wanted(void *channel)
{
	const struct channel *ch = channel;
	return work_ahead(ch) || atomic_load(&ch->quit);
}

/* Between two tasks only: in one, a reply may have been begun at head. */
static void trim(struct worker_state *ws)
{
	struct fifo *q = &ws->desk->out;
	take_back_room(ws);
	if (!q->head || q->head != q->tail || q->r.size <= TRIM_FROM)
		return;
	pr_region_trim(&q->r);
	q->head = q->tail = 0; /* nothing to trim the next time */
}

/* A nap is cheaper to end than a sleep; but in it the host's death is not heard. */
static void rest(struct worker_state *ws)
{
	struct channel *ch = ws->desk->ch;
	tell(ws);
	if (pr_watch(&ws->desk->patience, wanted, ch))
		return;
	atomic_store(&ch->asleep, NAPS);
	if (!wanted(ch) && pr_nap(&ch->asleep, NAPS, NAP_MS) != 0 &&
	    atomic_load(&ch->asleep) != AWAKE) {
		atomic_store(&ch->asleep, SLEEPS);
		if (!wanted(ch) && !doze(ws))
			trim(ws);
	}
	atomic_store(&ch->asleep, AWAKE);
}

/* The host is told when half of what was handed out is done, or all of it; what is left
 * untold before a task that takes long it finds by itself. */
static void finish(struct worker_state *ws, uint32_t left)
{
	_Atomic uint32_t *done = &ws->desk->ch->done;
	if (++ws->untold < left) {
		atomic_store_explicit(done, ws->next + 1, memory_order_release);
	} else {
		atomic_store(done, ws->next + 1); /* before tell() looks: it orders the two */
		tell(ws);
	}
}

/* The clock takes as long as a small task.  By the counter of the processor less than a
 * microsecond since the last look is the same time; another processor's counter, if they
 * differ, is a reason to look. */
static int64_t about_now(struct worker_state *ws)
{
#if defined(__x86_64__)
	uint64_t tick = __builtin_ia32_rdtsc();
	if (tick - ws->tick < SAME_TICKS)
		return ws->now;
	ws->tick = tick;
#endif
	ws->now = pr_now();
	return ws->now;
}

static void serve(struct worker_state *ws)
{
	struct channel *ch = ws->desk->ch;
	int64_t now = about_now(ws);
	uint32_t left;
	for (;;) {
		atomic_store_explicit(&ch->since, now, memory_order_relaxed);
		if (!take(ws, &left)) {
			if (atomic_load(&ch->quit))
				return;
			rest(ws);
			now = about_now(ws);
			continue;
		}
		struct cell *c = pr_cell(ch, ws->next);
		__builtin_prefetch(pr_cell(ch, ws->next + 4), 1);
		c->start = now;
		run(ws, c);
		now = c->end = about_now(ws);
		if (ws->desk->rss_limit)
			weigh(ws, now, c->end - c->start);
		finish(ws, left);
	}
}

int pr_worker_main(void *arg, int unused)
{
	struct desk *d = arg;
	struct worker_state ws = { .desk = d, .statm = -1 };
	(void)unused;
	ws.task.more = more_room;
	ws.end = calloc(d->ch->cells, sizeof *ws.end);
	if (!ws.end)
		return 1;
	leave_if_orphan(d);
	int e = d->init ? d->init(d->arg) : 0;
	if (e != 0) {
		atomic_store(&d->ch->init, e);
		free(ws.end);
		return 1;
	}
	if (d->rss_limit) {
		ws.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
		ws.rss = resident(ws.statm);
	}
	atomic_store(&d->ch->ready, 1);
	serve(&ws);
	if (d->leave)
		d->leave(d->arg);
	free(ws.end);
	return 0;
}
