/* map.c - prong_map(): an array worked off by forked children, results written in place.
 *
 * Shared memory holds a counter that chunks are claimed from, a byte of status for each item,
 * and for each lane (a child, or those that replace it) the item it is at.  An item whose
 * status is not UNDONE is done or given up: so whatever a child leaves behind by dying,
 * another look at the bytes tells what is still to do. */
#include "os.h"
#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	CHUNK_NS = 500000, /* what a chunk should take */
	LOOK_MS = 10,      /* how often timeouts are looked at */
	IDLE_MAX = 10      /* children in a row that end before they begin with an item */
};

/* With timeouts, who may end an item is decided in one word. */
enum token { AT_REST, AT_WORK, DOOMED };

struct lane {
	_Alignas(64) _Atomic size_t at; /* the item */
	_Atomic size_t end;             /* of its chunk */
	_Atomic bool busy;              /* at, end are valid */
	_Atomic int token;
	_Atomic int64_t since;
};

struct common {
	_Alignas(64) _Atomic size_t next;
	struct lane lane[];
};

struct work {
	struct prong_map m;
	struct common *c;
	size_t common_size;
	unsigned char *status, *out; /* shared */
	pid_t host;
};

struct child {
	const struct work *w;
	unsigned lane;
	int64_t id; /* 0: none runs */
	unsigned idle;
};

void *prong_shared(size_t size)
{
	void *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	               -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void prong_shared_free(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size ? size : 1);
}

/* ---- in a child ---- */

/* The host takes an item away by dooming its lane; then what is left is to be killed. */
static void begin_timed(struct lane *l)
{
	atomic_store(&l->since, pr_now());
	atomic_store(&l->token, AT_WORK);
}

static void end_timed(const struct work *w, struct lane *l)
{
	int at_work = AT_WORK;
	while (!atomic_compare_exchange_strong(&l->token, &at_work, AT_REST)) {
		at_work = AT_WORK;
		poll(NULL, 0, LOOK_MS); /* for the SIGKILL ... */
		if (getppid() != w->host)
			_exit(1); /* ... that a host which died meanwhile did not send */
	}
}

static void do_chunk(const struct work *w, struct lane *l, size_t i, size_t end)
{
	const struct prong_map *m = &w->m;
	const char *in = m->in;
	for (; i < end; i++) {
		if (w->status[i] != PRONG_ITEM_UNDONE)
			continue;
		atomic_store_explicit(&l->at, i, memory_order_release);
		if (m->timeout_ms)
			begin_timed(l);
		int r = m->fn(i, in ? in + i * m->in_size : NULL,
		              w->out ? w->out + i * m->out_size : NULL, m->arg);
		if (m->timeout_ms)
			end_timed(w, l);
		w->status[i] = (unsigned char)(r & 127 ? r & 127 : r != 0);
	}
}

/* Longer chunks while they take little time, never more than a fair part of the rest. */
static size_t next_size(const struct work *w, size_t size, int64_t took)
{
	size_t next = atomic_load_explicit(&w->c->next, memory_order_relaxed);
	size_t fair = next < w->m.n ? (w->m.n - next) / (4 * w->m.jobs) : 0;
	size = took < CHUNK_NS / 2 ? size * 2 : took > CHUNK_NS ? (size + 1) / 2 : size;
	return size > fair ? fair + 1 : size;
}

static int child(void *arg, int unused)
{
	const struct child *ch = arg;
	const struct work *w = ch->w;
	struct lane *l = &w->c->lane[ch->lane];
	size_t size = 1;
	int64_t t = pr_now();
	(void)unused;
	if (atomic_load(&l->busy)) /* what one before us left */
		do_chunk(w, l, atomic_load(&l->at), atomic_load(&l->end));
	for (;;) {
		atomic_store(&l->busy, false);
		size_t i = atomic_fetch_add(&w->c->next, size);
		if (i >= w->m.n)
			return 0;
		size_t end = w->m.n - i < size ? w->m.n : i + size;
		atomic_store(&l->at, i);
		atomic_store(&l->end, end);
		atomic_store(&l->busy, true);
		do_chunk(w, l, i, end);
		int64_t now = pr_now();
		size = next_size(w, size, now - t);
		t = now;
	}
}

/* ---- in the host ---- */

static int start_lane(struct prong *p, struct child *ch)
{
	struct lane *l = &ch->w->c->lane[ch->lane];
	atomic_store(&l->token, AT_REST);
	int64_t id = prong_submit(p, PRONG_SPEC(.fn = child, .arg = ch, .tag = ch,
	                                        .out.how = PRONG_INHERIT,
	                                        .err.how = PRONG_INHERIT));
	ch->id = id > 0 ? id : 0;
	return id > 0 ? 0 : (int)id;
}

/* A child ended.  0, or why there can be no more. */
static int lane_over(struct prong *p, struct child *ch, const struct prong_result *r)
{
	const struct work *w = ch->w;
	struct lane *l = &w->c->lane[ch->lane];
	ch->id = 0;
	if (r->how == PRONG_NOTSTARTED)
		return -r->status;
	size_t at = atomic_load(&l->at);
	ch->idle = atomic_load(&l->busy) ? 0 : ch->idle + 1;
	if (atomic_load(&l->busy) && w->status[at] == PRONG_ITEM_UNDONE)
		w->status[at] = (unsigned char)(PRONG_ITEM_DIED +
		                                (r->how == PRONG_SIGNALED ? r->status & 127 : 0));
	if (!atomic_load(&l->busy) && atomic_load(&w->c->next) >= w->m.n)
		return 0;
	return ch->idle < IDLE_MAX ? start_lane(p, ch) : -EAGAIN;
}

static void look_at_time(struct prong *p, const struct work *w, struct child *children)
{
	int64_t now = pr_now();
	for (unsigned i = 0; i < w->m.jobs; i++) {
		struct lane *l = &w->c->lane[i];
		int64_t since = atomic_load(&l->since);
		int at_work = AT_WORK;
		if (!children[i].id || atomic_load(&l->token) != AT_WORK ||
		    now - since < w->m.timeout_ms * PR_MS || since != atomic_load(&l->since))
			continue;
		if (atomic_compare_exchange_strong(&l->token, &at_work, DOOMED))
			prong_signal(p, children[i].id, SIGKILL);
	}
}

static int round_of(struct prong *p, const struct work *w, struct child *children)
{
	const struct prong_event *ev;
	int e = 0, r;
	atomic_store(&w->c->next, 0);
	for (unsigned i = 0; i < w->m.jobs && e == 0; i++) {
		children[i] = (struct child){ .w = w, .lane = i };
		atomic_store(&w->c->lane[i].busy, false);
		e = start_lane(p, &children[i]);
	}
	while ((r = prong_wait(p, &ev, w->m.timeout_ms ? LOOK_MS : -1)) >= 0) {
		if (r == 1 && ev->type == PRONG_DONE) {
			int bad = lane_over(p, ev->tag, ev->result);
			e = e ? e : bad;
		}
		if (w->m.timeout_ms)
			look_at_time(p, w, children);
	}
	return r == -ECHILD ? e : r;
}

/* Of a chunk that was claimed and not yet written down nobody knows but the bytes. */
static int rounds(struct prong *p, const struct work *w)
{
	struct child *children = calloc(w->m.jobs, sizeof *children);
	int e;
	if (!children)
		return -ENOMEM;
	do
		e = round_of(p, w, children);
	while (e == 0 && memchr(w->status, PRONG_ITEM_UNDONE, w->m.n));
	free(children);
	return e && memchr(w->status, PRONG_ITEM_UNDONE, w->m.n) ? e : 0;
}

static int64_t give_results(const struct work *w)
{
	const struct prong_map *m = &w->m;
	int64_t bad = 0;
	for (size_t i = 0; i < m->n; i++)
		bad += w->status[i] != 0;
	if (m->status)
		memcpy(m->status, w->status, m->n);
	if (m->out && w->out != m->out)
		memcpy(m->out, w->out, m->n * m->out_size);
	return bad;
}

static int open_pool(const struct work *w, struct prong **p)
{
	struct prong_options o = { .size = sizeof o };
	const struct prong_options *theirs = w->m.options;
	if (theirs && (theirs->size > sizeof o || theirs->size < offsetof(struct prong_options, fork)))
		return -EINVAL;
	if (theirs)
		memcpy(&o, theirs, theirs->size);
	o.size = sizeof o;
	o.jobs = w->m.jobs;
	int e = prong_open(p, &o);
	if (e == 0)
		(*p)->no_results = true;
	return e;
}

static int make_shared(struct work *w)
{
	struct prong_map *m = &w->m;
	bool in_place = m->flags & PRONG_OUT_SHARED;
	w->common_size = sizeof *w->c + m->jobs * sizeof(struct lane);
	w->c = prong_shared(w->common_size);
	w->status = prong_shared(m->n);
	w->out = m->out && !in_place ? prong_shared(m->n * m->out_size) : m->out;
	if (!w->c || !w->status || (m->out && !w->out))
		return -ENOMEM;
	memset(w->status, PRONG_ITEM_UNDONE, m->n);
	return 0;
}

static void free_shared(struct work *w)
{
	if (w->out != w->m.out)
		prong_shared_free(w->out, w->m.n * w->m.out_size);
	prong_shared_free(w->status, w->m.n);
	prong_shared_free(w->c, w->common_size);
}

static bool map_ok(const struct prong_map *m)
{
	if (!m->fn || m->timeout_ms < 0 || (m->flags & ~(unsigned)PRONG_OUT_SHARED))
		return false;
	if (m->n > SIZE_MAX / 4 || (m->in_size && m->n > SIZE_MAX / m->in_size))
		return false;
	return !m->out_size || m->n <= SIZE_MAX / m->out_size;
}

int64_t prong_map(const struct prong_map *map)
{
	struct work w = { .host = getpid() };
	struct prong *p;
	if (!map || map->size < offsetof(struct prong_map, timeout_ms) || map->size > sizeof w.m)
		return -EINVAL;
	memcpy(&w.m, map, map->size);
	w.m.timeout_ms = w.m.timeout_ms < PR_MS_MAX ? w.m.timeout_ms : PR_MS_MAX;
	if (!map_ok(&w.m))
		return -EINVAL;
	if (!w.m.n)
		return 0;
	if (w.m.status) /* so that it says so if we come no further */
		memset(w.m.status, PRONG_ITEM_UNDONE, w.m.n);
	w.m.jobs = w.m.jobs ? w.m.jobs : pr_cpus();
	w.m.jobs = w.m.jobs > w.m.n ? (unsigned)w.m.n : w.m.jobs;
	int64_t r = make_shared(&w);
	if (r == 0)
		r = open_pool(&w, &p);
	if (r == 0) {
		r = rounds(p, &w);
		prong_close(p);
		int64_t bad = give_results(&w);
		r = r ? r : bad;
	}
	free_shared(&w);
	return r;
}

struct each {
	int (*fn)(size_t i, void *arg);
	void *arg;
};

static int for_one(size_t i, const void *in, void *out, void *arg)
{
	const struct each *e = arg;
	(void)in, (void)out;
	return e->fn(i, e->arg);
}

int64_t prong_for(size_t n, int (*fn)(size_t i, void *arg), void *arg, unsigned jobs)
{
	struct each e = { fn, arg };
	return fn ? prong_map(PRONG_MAP(.n = n, .fn = for_one, .arg = &e, .jobs = jobs)) : -EINVAL;
}
