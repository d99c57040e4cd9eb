/* collect.c - what comes from workers: replies, output, deaths. */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

int event_add(PyObject *events, PyObject *event)
{
	int r = event ? PyList_Append(events, event) : -1;
	Py_XDECREF(event);
	return r;
}

/* ---- replies ---- */

/* An item has its result once, whatever races a death brings. */
static bool first_time(struct engine *e, uint64_t id)
{
	if (!e->seen || id >= e->total)
		return true;
	unsigned char bit = (unsigned char)(1u << (id % 8));
	bool first = !(e->seen[id / 8] & bit);
	e->seen[id / 8] |= bit;
	return first;
}

/* obj NULL: it cannot be rebuilt here; the exception that says why becomes the event. */
static int reply(struct engine *e, const struct header *h, PyObject *obj, PyObject *events,
                 PyObject *sink)
{
	static const int kinds[] = { EV_RESULT, EV_ERROR, EV_INIT_FAILED,
		                     EV_UNREADABLE };
	int kind = kinds[h->kind];
	bool interrupted = false; /* Ctrl-C while it was rebuilt: the caller's as well */
	if (!obj) {
		PyObject *t, *tb;
		PyErr_Fetch(&t, &obj, &tb);
		PyErr_NormalizeException(&t, &obj, &tb);
		interrupted = !PyErr_GivenExceptionMatches(t, PyExc_Exception);
		Py_XDECREF(t);
		Py_XDECREF(tb);
		kind = EV_BAD;
	}
	if (kind != EV_INIT_FAILED && !first_time(e, h->id)) {
		Py_DECREF(obj);
		return 0;
	}
	e->done += kind != EV_INIT_FAILED;
	if (kind == EV_RESULT && e->futures) {
		int r = future_finish(e, h->id, obj);
		if (r != 0) {
			Py_DECREF(obj);
			return r < 0 ? -1 : 0;
		}
	}
	if (kind == EV_RESULT && sink && h->id < (uint64_t)PyList_Size(sink))
		return PyList_SetItem(sink, (Py_ssize_t)h->id, obj);
	PyObject *exc = interrupted ? Py_NewRef(obj) : NULL;
	int r = event_add(events, Py_BuildValue("(iKN)", kind, (unsigned long long)h->id, obj));
	if (exc && r == 0)
		PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
	Py_XDECREF(exc);
	return interrupted ? -1 : r;
}

static void replied(struct worker *w, const struct header *h)
{
	w->last_reply = h->id + 1;
	if (h->kind == SAY_INIT_FAILED)
		w->ended = true;
}

static void took(struct worker *w, uint64_t tail)
{
	atomic_store(&w->rep.pos->tail, tail);
	/* once, when there is enough to be worth a switch; an empty ring always is */
	if (atomic_load(&w->ctl->wants_space) && ring_free(&w->rep) >= w->rep.size / 2 &&
	    atomic_exchange(&w->ctl->wants_space, 0)) {
		atomic_fetch_add(&w->ctl->wake, 1);
		wake_all(&w->ctl->wake);
	}
}

/* The next part of a big one.  1: more may follow at once. */
static int take_stream(struct worker *w, PyObject *events, PyObject *sink)
{
	uint64_t tail = atomic_load_explicit(&w->rep.pos->tail, memory_order_relaxed);
	size_t n = ring_used(&w->rep);
	Py_ssize_t k = n ? inflow_take(&w->in, ring_at(&w->rep, tail), n) : 0;
	if (k < 0) {
		w->in.failed = true; /* no memory: the rest is taken and dropped */
		PyErr_Clear();
	}
	if (w->in.failed)
		k = (Py_ssize_t)(n < w->in.left ? n : w->in.left);
	w->in.left -= (uint64_t)k;
	tail += (uint64_t)k;
	if (w->in.left) {
		took(w, tail);
		return k > 0;
	}
	uint64_t end = (tail + 7) & ~UINT64_C(7);
	struct header h = w->in.h;
	PyObject *obj = NULL;
	if (w->in.failed) {
		inflow_drop(&w->in);
		PyErr_SetString(PyExc_MemoryError, "no memory for the result of a task");
	} else {
		obj = inflow_finish(&w->in);
	}
	took(w, end);
	replied(w, &h);
	return reply(w->eng, &h, obj, events, sink) == 0 ? 1 : -1;
}

static int take_compact(struct worker *w, uint64_t tail, PyObject *events, PyObject *sink)
{
	struct compact c;
	memcpy(&c, ring_at(&w->rep, tail), sizeof c);
	struct header h = { .id = c.id & COMPACT_ID, .kind = SAY_RESULT };
	PyObject *obj = value_decode((int)((c.id & ~COMPACT) >> COMPACT_SHIFT), 0,
	                             (const unsigned char *)&c.num, sizeof c.num);
	took(w, tail + sizeof c);
	replied(w, &h);
	return reply(w->eng, &h, obj, events, sink) == 0 ? 1 : -1;
}

/* 1: took something; 0: nothing (whole) there. */
static int take_reply(struct worker *w, PyObject *events, PyObject *sink)
{
	struct header h;
	if (w->in.active)
		return take_stream(w, events, sink);
	if (!ring_used(&w->rep))
		return 0;
	uint64_t tail = atomic_load_explicit(&w->rep.pos->tail, memory_order_relaxed);
	memcpy(&h.id, ring_at(&w->rep, tail), sizeof h.id);
	if (h.id & COMPACT)
		return take_compact(w, tail, events, sink);
	memcpy(&h, ring_at(&w->rep, tail), sizeof h);
	size_t whole = sizeof h + padded(h.len);
	if (whole > w->rep.size / 2) {
		if (inflow_begin(&w->in, &h) != 0) {
			PyErr_Clear();
			w->in = (struct inflow){ .h = h, .active = true, .failed = true };
		}
		w->in.left = h.len;
		took(w, tail + sizeof h);
		return 1;
	}
	PyObject *obj = value_decode(h.tag, h.nbuf, ring_at(&w->rep, tail + sizeof h), h.len);
	took(w, tail + whole);
	replied(w, &h);
	return reply(w->eng, &h, obj, events, sink) == 0 ? 1 : -1;
}

enum { AT_ONCE = 4096 };

/* Up to a bounded number, so that one worker does not starve the others. */
static int drain(struct worker *w, PyObject *events, PyObject *sink)
{
	int r = 1;
	for (int n = 0; w->ctl && n < AT_ONCE && r == 1; n++)
		r = take_reply(w, events, sink);
	return r < 0 ? -1 : 0;
}

/* ---- deaths ---- */

PyObject *certificate(const struct prong_result *r, const struct worker *w)
{
	const struct rusage *u = &r->usage;
	return Py_BuildValue("(iiiiiLLddly#iii)", r->how, r->status, r->sent, r->core, (int)r->pid,
	                     (long long)r->start_ns, (long long)r->end_ns,
	                     (double)u->ru_utime.tv_sec + (double)u->ru_utime.tv_usec / 1e6,
	                     (double)u->ru_stime.tv_sec + (double)u->ru_stime.tv_usec / 1e6,
	                     u->ru_maxrss, w ? w->tail : "", (Py_ssize_t)(w ? w->ntail : 0),
	                     w ? w->reason : 0, r->step, w ? (int)w->index : -1);
}

static bool in_range_of_another(const struct engine *e, const struct worker *w, uint64_t i)
{
	for (unsigned k = 0; k < e->nworkers; k++) {
		const struct worker *o = &e->workers[k];
		if (o != w && o->job && o->ctl && i >= atomic_load(&o->ctl->from) &&
		    i < atomic_load(&o->ctl->to))
			return true;
	}
	return false;
}

static bool is_seen(const struct engine *e, uint64_t i)
{
	return e->seen && i < e->total && (e->seen[i / 8] & (1u << (i % 8)));
}

/* The items it claimed and did not begin are for others. */
static int rescue_range(struct engine *e, struct worker *w, uint64_t cur, bool any)
{
	uint64_t from = atomic_load(&w->ctl->from), to = atomic_load(&w->ctl->to);
	if (from >= to)
		return 0;
	if (any && cur >= from && cur < to)
		from = cur + 1;
	else if (atomic_load(&e->common->next) <= from || is_seen(e, from) ||
	         in_range_of_another(e, w, from))
		return 0; /* it died between wanting and having them */
	while (from < to && is_seen(e, from))
		from++;
	return from < to ? queue_range(e, from, to) : 0;
}

static int bury(struct engine *e, struct worker *w, const struct prong_result *r,
                PyObject *events, PyObject *sink)
{
	template_bury(w);
	PyObject *cert = certificate(r, w);
	int64_t job = w->job;
	int bad = cert ? 0 : -1;
	while (bad == 0 && w->ctl && (ring_used(&w->rep) && !(w->in.active && !w->in.left))) {
		size_t before = ring_used(&w->rep);
		bad = drain(w, events, sink);
		if (ring_used(&w->rep) == before)
			break;
	}
	if (w->job != job || !w->ctl)
		bad = -1;
	uint64_t task = bad ? 0 : atomic_load(&w->ctl->task), id = task / 4;
	unsigned state = task & 3;
	bool died = state >= TASK_BUSY && w->last_reply != id + 1;
	if (w->single && !died && !w->last_reply && !bad) {
		died = true; /* before it could begin */
		id = w->single_id;
	}
	if (bad == 0) {
		inflow_drop(&w->in);
		worker_requeue(w);
		bad = rescue_range(e, w, id, state != TASK_NONE);
	}
	/* What its tasks have started and left.  Its number cannot have been given away: that
	 * takes a whole round of the system's pids since a moment ago. */
	if (w->pid > 0)
		kill(-w->pid, SIGKILL);
	w->job = 0;
	if (w->single)
		e->singles--;
	else
		e->live--;
	if (w->out) {
		/* its request was on the way to it: nobody else has the whole of it */
		if (!died && !bad)
			id = w->out->h.id, died = true;
		value_release(&w->out->value);
		PyMem_Free(w->out);
		w->out = NULL;
	}
	bool peace = !died && !w->ended && r->how == PRONG_EXITED && r->status == 0;
	if (bad == 0 && died && first_time(e, id)) {
		e->done++;
		bad = event_add(events, Py_BuildValue("(iKO)", EV_DIED, (unsigned long long)id, cert));
	} else if (bad == 0 && !died) {
		bad = event_add(events, Py_BuildValue("(iOO)", peace || w->ended ? EV_ENDED : EV_DIED,
		                                 Py_None, cert));
	}
	Py_XDECREF(cert);
	return bad;
}

/* ---- events of the pool ---- */

static struct worker *worker_of(struct engine *e, const void *tag)
{
	for (unsigned i = 0; i < e->nworkers; i++)
		if (tag == &e->workers[i])
			return &e->workers[i];
	return NULL;
}

/* stderr of a worker: pass it on, remember the end. */
void worker_remember(struct worker *w, const char *p, size_t n)
{
	w->eng->sleepers++; /* close() waits for us */
	Py_BEGIN_ALLOW_THREADS
	for (size_t off = 0; off < n;) {
		ssize_t k = write(2, p + off, n - off);
		if (k < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = 2, .events = POLLOUT }, 1, 100);
		else if (k < 0 && errno != EINTR)
			break;
		off += k > 0 ? (size_t)k : 0;
	}
	Py_END_ALLOW_THREADS
	w->eng->sleepers--;
	if (n >= sizeof w->tail) {
		p += n - sizeof w->tail;
		n = sizeof w->tail;
	}
	size_t keep = sizeof w->tail - n;
	if (w->ntail > keep) {
		memmove(w->tail, w->tail + w->ntail - keep, keep);
		w->ntail = keep;
	}
	memcpy(w->tail + w->ntail, p, n);
	w->ntail += n;
}

static int pool_event(struct engine *e, const struct prong_event *ev, PyObject *events,
                      PyObject *sink)
{
	struct worker *w = worker_of(e, ev->tag);
	if (!w)
		return ev->type == PRONG_DONE ? command_done(e, ev, events) : 0;
	if (ev->type == PRONG_STARTED)
		w->pid = ev->result->pid;
	else if (ev->type == PRONG_OUTPUT)
		worker_remember(w, ev->data, ev->len);
	else if (ev->type == PRONG_READY)
		template_read(w);
	else if (ev->type == PRONG_DONE)
		return bury(e, w, ev->result, events, sink);
	return 0;
}

static int look_at_pool(struct engine *e, PyObject *events, PyObject *sink)
{
	const struct prong_event *ev;
	int r = 0;
	while (e->pool && !e->in_pool) { /* by another thread */
		if (engine_enter(e) != 0)
			return -1;
		r = prong_wait(e->pool, &ev, 0);
		engine_leave(e);
		if (r != 1)
			break;
		if (pool_event(e, ev, events, sink) != 0)
			return -1;
	}
	return r == 0 || r == 1 || r == -ECHILD ? 0 : engine_oserror(r);
}

PyObject *engine_wake(PyObject *self, PyObject *no)
{
	struct engine *e = (struct engine *)self;
	uint64_t one = 1;
	(void)no;
	if (engine_check(e) != 0)
		return NULL;
	e->woken = true;
	if (write(e->bell, &one, sizeof one) < 0 && errno != EAGAIN)
		return PyErr_SetFromErrno(PyExc_OSError);
	Py_RETURN_NONE;
}

PyObject *engine_pids(PyObject *self, PyObject *no)
{
	struct engine *e = (struct engine *)self;
	PyObject *list = PyList_New(0);
	(void)no;
	for (unsigned i = 0; list && i < e->nworkers; i++)
		if (e->workers[i].job && e->workers[i].pid &&
		    event_add(list, PyLong_FromLong(e->workers[i].pid)) != 0)
			Py_CLEAR(list);
	return list;
}

/* ---- one turn ---- */

bool engine_busy(const struct engine *e)
{
	return e->live || e->singles || e->ncommands || e->busy;
}

static bool begin(struct engine *e)
{
	if (e->busy || e->closed) /* another thread is at it, or a fork hook asks */
		return false;
	e->turner = pthread_self();
	return e->busy = true;
}

/* Rebuilding a result runs code of the program, which may have closed us. */
static void end(struct engine *e)
{
	e->busy = false;
	future_trash(e);
	if (e->shut_due)
		engine_shut(e);
}

int engine_drain(struct engine *e, PyObject *events)
{
	int r = 0;
	if (!begin(e))
		return 0;
	for (unsigned i = 0; r == 0 && i < e->nworkers; i++)
		if (e->workers[i].ctl && e->workers[i].job)
			r = drain(&e->workers[i], events, NULL);
	engine_dispatch(e);
	end(e);
	return r;
}

int engine_turn(struct engine *e, PyObject *events, PyObject *sink)
{
	if (!begin(e))
		return 0;
	int r = 0;
	for (unsigned i = 0; r == 0 && i < e->nworkers; i++)
		if (e->workers[i].ctl && e->workers[i].job)
			r = drain(&e->workers[i], events, sink);
	if (r == 0)
		kill_overdue(e);
	queue_look(e);
	if (r == 0)
		engine_dispatch(e);
	if (r == 0)
		r = look_at_pool(e, events, sink);
	if (r == 0)
		engine_dispatch(e);
	end(e);
	return r;
}

PyMemberDef engine_members[] = {
	{ "live", T_UINT, offsetof(struct engine, live), READONLY, "worker processes" },
	{ "singles", T_UINT, offsetof(struct engine, singles), READONLY, "forked for one task" },
	{ "queued", T_ULONGLONG, offsetof(struct engine, nqueued), READONLY, "waiting requests" },
	{ "commands", T_ULONGLONG, offsetof(struct engine, ncommands), READONLY, "not ended yet" },
	{ "done", T_ULONGLONG, offsetof(struct engine, done), 0, "tasks that have an end" },
	{ "timeout", T_DOUBLE, offsetof(struct engine, timeout), 0, "seconds of a task" },
	{ "max_tasks", T_ULONGLONG, offsetof(struct engine, max_tasks), 0, "of a worker" },
	{ "max_rss_kb", T_ULONGLONG, offsetof(struct engine, max_rss_kb), 0, "of a worker" },
	{ "window", T_UINT, offsetof(struct engine, window), 0, "requests ahead in a worker" },
	{ "seats", T_UINT, offsetof(struct engine, nseats), READONLY, "most workers" },
	{ "futures", T_OBJECT_EX, offsetof(struct engine, futures), 0, "of submit(): {id: future}" },
	{ "accepting", T_BOOL, offsetof(struct engine, accepting), 0, "submit() takes tasks" },
	{ "served", T_BOOL, offsetof(struct engine, served), 0, "a thread calls poll()" },
	{ "closed", T_BOOL, offsetof(struct engine, closed), READONLY, "close() was called" },
	{ NULL, 0, 0, 0, NULL }
};
