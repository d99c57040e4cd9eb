/* queue.c - requests: encoded once, queued, put into workers' rings, taken back. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- into the queue ---- */

static void append(struct engine *e, struct msg *m)
{
	m->next = NULL;
	if (e->head)
		e->last->next = m;
	else
		e->head = m;
	e->last = m;
	e->nqueued++;
}

static void prepend(struct engine *e, struct msg *m)
{
	m->next = e->head;
	if (!e->head)
		e->last = m;
	e->head = m;
	e->nqueued++;
}

static struct msg *msg_new(size_t body)
{
	struct msg *m = PyMem_Malloc(sizeof *m + padded(body));
	if (!m) {
		PyErr_NoMemory();
		return NULL;
	}
	memset(m, 0, sizeof *m);
	return m;
}

static struct msg *msg_of(int kind, uint64_t id, PyObject *obj)
{
	struct value v;
	if (value_encode(&v, obj) != 0) {
		value_release(&v);
		return NULL;
	}
	bool big = sizeof(struct header) + padded(v.len) > REQ_SIZE / 2;
	if (big && value_own(&v, obj) != 0) {
		value_release(&v);
		return NULL;
	}
	struct msg *m = msg_new(big ? 0 : (size_t)v.len);
	if (!m) {
		value_release(&v);
		return NULL;
	}
	m->h = (struct header){ .id = id, .len = v.len, .tag = (uint8_t)v.tag,
		                .kind = (uint8_t)kind, .nbuf = v.nbuf };
	m->big = big;
	if (big) {
		m->value = v;
		if (v.seg == v.few)
			m->value.seg = m->value.few;
		return m;
	}
	unsigned char *p = m->bytes;
	for (unsigned i = 0; i < v.nseg; i++) {
		memcpy(p, v.seg[i].p, v.seg[i].n);
		p += v.seg[i].n;
	}
	value_release(&v);
	return m;
}

int queue_range(struct engine *e, uint64_t a, uint64_t b)
{
	struct msg *m = msg_new(sizeof b);
	if (!m)
		return -1;
	m->h = (struct header){ .id = a, .len = sizeof b, .tag = TAG_RAW, .kind = ASK_RANGE };
	memcpy(m->bytes, &b, sizeof b);
	append(e, m);
	return 0;
}

/* ---- into a ring ---- */

void worker_ring(struct worker *w)
{
	atomic_fetch_add(&w->ctl->wake, 1);
	if (atomic_load(&w->ctl->asleep) || atomic_load(&w->ctl->wants_space))
		wake_all(&w->ctl->wake);
}

static void put(struct ring *r, uint64_t *at, const void *p, size_t n)
{
	memcpy(ring_at(r, *at), p, n);
	*at += n;
}

/* As much of a big body as the ring takes; true when it is all in. */
static bool pour(struct worker *w)
{
	struct ring *r = &w->req;
	const struct value *v = &w->out->value;
	uint64_t at = atomic_load_explicit(&r->pos->head, memory_order_relaxed);
	bool moved = false;
	for (; w->out_seg < v->nseg; w->out_seg++, w->out_off = 0) {
		const struct seg *s = &v->seg[w->out_seg];
		size_t n = s->n - w->out_off;
		size_t room = r->size - (size_t)(at - atomic_load(&r->pos->tail));
		if (n + 8 > room)
			n = room > 8 ? room - 8 : 0;
		put(r, &at, (const char *)s->p + w->out_off, n);
		moved |= n > 0;
		w->out_off += n;
		if (w->out_off < s->n)
			break;
	}
	bool all = w->out_seg == v->nseg;
	if (all)
		at = (at + 7) & ~UINT64_C(7);
	atomic_store_explicit(&r->pos->head, at, memory_order_release);
	if (moved || all)
		worker_ring(w);
	return all;
}

static void finish_out(struct worker *w)
{
	w->asked = atomic_load_explicit(&w->req.pos->head, memory_order_relaxed);
	value_release(&w->out->value);
	PyMem_Free(w->out);
	w->out = NULL;
}

/* The header of a big one that its worker has not come to, though it may have to pass revoked
 * ones before.  NULL: it has begun to take it. */
static struct header *untouched(const struct worker *w)
{
	if (!w->out)
		return NULL;
	uint64_t start = w->stream_end - sizeof w->out->h - padded(w->out->h.len);
	uint64_t tail = atomic_load_explicit(&w->req.pos->tail, memory_order_acquire);
	return tail <= start ? (void *)ring_at(&w->req, start) : NULL;
}

/* Pours; true when the worker has all of it. */
static bool delivered(struct worker *w)
{
	if (w->out_seg < w->out->value.nseg && !pour(w))
		return false;
	return atomic_load(&w->req.pos->tail) >= w->stream_end;
}

static void hand_over(struct worker *w, struct msg *m)
{
	struct ring *r = &w->req;
	uint64_t at = atomic_load_explicit(&r->pos->head, memory_order_relaxed);
	m->h.state = REQ_READY;
	put(r, &at, &m->h, sizeof m->h);
	if (!m->big)
		put(r, &at, m->bytes, padded(m->h.len));
	w->tasks++;
	w->given++;
	w->asked = at;
	atomic_store_explicit(&r->pos->head, at, memory_order_release);
	worker_ring(w);
	if (!m->big) {
		PyMem_Free(m);
		return;
	}
	w->out = m;
	w->out_seg = 0;
	w->out_off = 0;
	if (delivered(w))
		finish_out(w);
}

static bool open_to(const struct worker *w, const struct engine *e)
{
	return w->job && w->ctl && !w->reason && !w->out && !w->ended && !w->single &&
	       !(e->max_tasks && w->tasks >= e->max_tasks);
}

unsigned engine_active(const struct engine *e)
{
	unsigned n = e->singles;
	for (unsigned i = 0; i < e->nseats; i++)
		n += e->workers[i].job && e->workers[i].ctl && worker_pending(&e->workers[i]);
	return n;
}

/* How many short tasks may wait for a worker while another one sleeps: waking that one takes
 * longer than doing them, and it would take a CPU from those who work. */
static uint64_t worth_ahead(const struct worker *w)
{
	uint64_t pace = atomic_load_explicit(&w->ctl->pace, memory_order_relaxed);
	return pace ? AHEAD_NS / pace : 0;
}

/* It is not at a task that takes longer than the others. */
static bool in_haste(const struct worker *w)
{
	return !w->stuck && now_ns() - atomic_load(&w->ctl->began) < AHEAD_NS;
}

/* The first one that is at short tasks, or else has least before it; NULL if all have enough.
 * Singles count as tasks that run: while there are any, not every standing worker may be busy. */
static struct worker *least_loaded(struct engine *e, const struct msg *m)
{
	struct worker *best = NULL;
	uint64_t least = UINT64_MAX;
	size_t need = sizeof m->h + (m->big ? 0 : padded(m->h.len));
	bool full = e->singles && engine_active(e) >= e->nseats;
	for (unsigned i = 0; i < e->nseats; i++) {
		struct worker *w = &e->workers[i];
		if (!open_to(w, e) || ring_free(&w->req) < need)
			continue;
		uint64_t n = worker_pending(w);
		if (n && n < e->window && n < worth_ahead(w) && !m->big && in_haste(w))
			return w;
		if (n < least && n < (m->big ? 1 : e->window) && (n || !full)) {
			best = w;
			least = n;
		}
	}
	return best;
}

/* ---- taking back ---- */

/* Where the untaken request with this id is in w's ring; NULL: nowhere. */
static struct header *find_untaken(const struct worker *w, uint64_t id)
{
	uint64_t at = atomic_load_explicit(&w->req.pos->tail, memory_order_acquire);
	uint64_t head = w->asked;
	/* the body of a big one that is being taken is no chain of headers */
	if (w->out) {
		struct header *h = w->out_seg == w->out->value.nseg && w->out->h.id == id ? untouched(w) : NULL;
		return h && atomic_load(&h->state) == REQ_READY ? h : NULL;
	}
	while (at < head) {
		struct header *h = (void *)ring_at(&w->req, at);
		if (h->id == id && atomic_load(&h->state) == REQ_READY)
			return h;
		at += sizeof *h + padded(h->len);
	}
	return NULL;
}

static bool take_back(struct header *h)
{
	uint32_t ready = REQ_READY;
	return atomic_compare_exchange_strong(&h->state, &ready, REQ_REVOKED);
}

static struct msg *copy_of(const struct header *h)
{
	struct msg *m = msg_new((size_t)h->len);
	if (!m)
		return NULL;
	m->h = (struct header){ .id = h->id, .len = h->len, .tag = h->tag, .kind = h->kind,
		                .nbuf = h->nbuf };
	memcpy(m->bytes, h + 1, padded(h->len));
	return m;
}

void worker_requeue(struct worker *w)
{
	struct engine *e = w->eng;
	uint64_t at = atomic_load_explicit(&w->req.pos->tail, memory_order_acquire);
	struct msg *back = NULL;
	struct header *big = untouched(w);
	if (big && take_back(big)) {
		w->out->h.state = REQ_READY;
		prepend(e, w->out);
		w->out = NULL;
		w->given--;
		return;
	}
	if (big && atomic_load(&big->state) == REQ_REVOKED)
		finish_out(w); /* nobody waits for it */
	while (!w->out && at >= w->stream_end && at < w->asked) {
		struct header *h = (void *)ring_at(&w->req, at);
		at += sizeof *h + padded(h->len);
		if (!take_back(h))
			continue;
		struct msg *m = copy_of(h);
		if (!m) {
			PyErr_Clear();
			continue;
		}
		m->next = back;
		back = m;
		w->given--;
	}
	for (struct msg *m; (m = back);) {
		back = m->next;
		prepend(e, m);
	}
}

struct load {
	struct worker *most; /* NULL: nobody has requests to spare */
	uint64_t pending;
	struct worker *idle; /* has nothing */
};
static struct load load_of(const struct engine *e)
{
	struct load l = { .pending = 1 };
	for (unsigned i = 0; i < e->nseats; i++) {
		struct worker *w = &e->workers[i];
		uint64_t n = w->job && w->ctl ? worker_pending(w) : 0;
		if (!n && open_to(w, e))
			l.idle = w;
		if (n > l.pending && !w->out) {
			l.most = w;
			l.pending = n;
		}
	}
	return l;
}

bool queue_uneven(const struct engine *e)
{
	struct load l = load_of(e);
	return l.idle && l.most;
}

/* The last request in a ring that waits there, as a message. */
static struct msg *take_last(struct worker *w)
{
	uint64_t at = atomic_load_explicit(&w->req.pos->tail, memory_order_acquire);
	struct header *last = NULL;
	while (at >= w->stream_end && at < w->asked) {
		struct header *h = (void *)ring_at(&w->req, at);
		if (atomic_load(&h->state) == REQ_READY)
			last = h;
		at += sizeof *h + padded(h->len);
	}
	struct msg *m = last && take_back(last) ? copy_of(last) : NULL;
	if (!m)
		PyErr_Clear();
	return m;
}

/* Half of what somebody has not begun goes to a worker that has nothing; not if it will have
 * been done before that one has woken up. */
static bool steal(struct engine *e)
{
	if (e->singles && engine_active(e) >= e->nseats)
		return false;
	struct load l = load_of(e);
	if (!l.idle || !l.most || (l.pending < worth_ahead(l.most) && in_haste(l.most)))
		return false;
	bool any = false;
	for (uint64_t n = l.pending / 2; n; n--) {
		struct msg *m = take_last(l.most);
		if (!m)
			break;
		l.most->given--;
		l.most->tasks--;
		if (!open_to(l.idle, e) || ring_free(&l.idle->req) < sizeof m->h + padded(m->h.len)) {
			prepend(e, m);
			return any;
		}
		hand_over(l.idle, m);
		any = true;
	}
	return any;
}

/* A worker that has been at the same task for a while is no longer at short ones. */
void queue_look(struct engine *e)
{
	struct load l = load_of(e);
	if (!l.idle || !l.most)
		return;
	int64_t now = now_ns();
	for (unsigned i = 0; i < e->nseats; i++) {
		struct worker *w = &e->workers[i];
		uint64_t n = w->job && w->ctl ? atomic_load(&w->ctl->answered) : 0;
		if (n != w->looked_answered) {
			w->looked_answered = n;
			w->looked_at = now;
		}
		w->stuck = now - w->looked_at > LOOK_MS * INT64_C(500000);
	}
}

void engine_dispatch(struct engine *e)
{
	for (unsigned i = 0; i < e->nworkers; i++)
		if (e->workers[i].out && delivered(&e->workers[i]))
			finish_out(&e->workers[i]);
	do {
		struct worker *w;
		while (e->head && (w = least_loaded(e, e->head))) {
			struct msg *m = e->head;
			e->head = m->next;
			e->nqueued--;
			if (m->big)
				w->stream_end = atomic_load(&w->req.pos->head) + sizeof m->h +
				                padded(m->h.len);
			hand_over(w, m);
		}
	} while (!e->head && steal(e));
}

/* ---- methods ---- */

static PyObject *put_request(PyObject *self, PyObject *args, int kind)
{
	struct engine *e = (struct engine *)self;
	unsigned long long id;
	PyObject *obj;
	if (!PyArg_ParseTuple(args, "KO", &id, &obj) || engine_check(e) != 0)
		return NULL;
	struct msg *m = msg_of(kind, id, obj);
	if (!m)
		return NULL;
	append(e, m);
	if (!e->busy)
		engine_dispatch(e);
	Py_RETURN_NONE;
}

PyObject *engine_put(PyObject *self, PyObject *args)
{
	return put_request(self, args, ASK_ITEM);
}

PyObject *engine_call(PyObject *self, PyObject *args)
{
	return put_request(self, args, ASK_CALL);
}

static struct msg *msg_of_call(uint64_t id, PyObject *fn, PyObject *args, PyObject *kwargs)
{
	unsigned char body[CALL_BODY];
	size_t n = call_encode(body, fn, args, kwargs);
	if (!n) {
		PyObject *t = PyTuple_Pack(3, fn, args, kwargs);
		struct msg *m = t ? msg_of(ASK_CALL, id, t) : NULL;
		Py_XDECREF(t);
		return m;
	}
	struct msg *m = msg_new(n);
	if (m) {
		m->h = (struct header){ .id = id, .len = n, .tag = TAG_CALL, .kind = ASK_CALL };
		memcpy(m->bytes, body, n);
	}
	return m;
}

static void ring_own_bell(struct engine *e)
{
	uint64_t one = 1;
	if (write(e->bell, &one, sizeof one) < 0 && errno == EINTR)
		(void)!write(e->bell, &one, sizeof one);
}

/* A thread must look again soon, if one sleeps for longer. */
static void look_soon(struct engine *e)
{
	if (e->long_nap && queue_uneven(e)) {
		e->long_nap = false;
		ring_own_bell(e);
	}
}

/* submit(id, future, fn, args, kwargs): 0: done; 1: and somebody must see to the workers;
 * -1: no more tasks are taken. */
PyObject *engine_submit(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	struct engine *e = (struct engine *)self;
	if (n != 5 || !PyTuple_CheckExact(args[3]) || !e->futures)
		return PyErr_Format(PyExc_TypeError, "submit(id, future, fn, args, kwargs)");
	uint64_t id = PyLong_AsUnsignedLongLong(args[0]);
	if (PyErr_Occurred())
		return NULL;
	if (!e->accepting || e->closed || engine_inherited(e))
		return PyLong_FromLong(-1);
	if (PyDict_SetItem(e->futures, args[0], args[1]) != 0)
		return NULL;
	struct msg *m = msg_of_call(id, args[2], args[3], args[4]);
	if (!m || engine_check(e) != 0) {
		if (m && m->big)
			value_release(&m->value);
		PyMem_Free(m);
		return NULL;
	}
	append(e, m);
	if (!e->busy)
		engine_dispatch(e);
	look_soon(e);
	bool more = e->live < e->nseats && e->live < (uint64_t)PyDict_Size(e->futures);
	return PyLong_FromLong(more || !e->served);
}

PyObject *engine_range(PyObject *self, PyObject *args)
{
	struct engine *e = (struct engine *)self;
	unsigned long long a, b;
	if (!PyArg_ParseTuple(args, "KK", &a, &b) || engine_check(e) != 0)
		return NULL;
	for (uint64_t i = a; e->seen && i < b && i < e->total; i++)
		e->seen[i / 8] &= (unsigned char)~(1u << (i % 8));
	if (queue_range(e, a, b) != 0)
		return NULL;
	if (!e->busy)
		engine_dispatch(e);
	Py_RETURN_NONE;
}

static bool unqueue(struct engine *e, uint64_t id)
{
	struct msg *before = NULL;
	for (struct msg *m = e->head; m; before = m, m = m->next) {
		if (m->h.id != id || m->h.kind == ASK_RANGE)
			continue;
		*(before ? &before->next : &e->head) = m->next;
		if (e->last == m)
			e->last = before;
		e->nqueued--;
		if (m->big)
			value_release(&m->value);
		PyMem_Free(m);
		return true;
	}
	return false;
}

PyObject *engine_revoke(PyObject *self, PyObject *arg)
{
	struct engine *e = (struct engine *)self;
	uint64_t id = PyLong_AsUnsignedLongLong(arg);
	if (PyErr_Occurred() || engine_check(e) != 0)
		return NULL;
	bool done = unqueue(e, id);
	for (unsigned i = 0; !done && i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];
		struct header *h = w->job && w->ctl ? find_untaken(w, id) : NULL;
		done = h && take_back(h);
		if (done) {
			w->given--;
			w->tasks--;
		}
	}
	return PyBool_FromLong(done);
}

PyObject *engine_limit(PyObject *self, PyObject *arg)
{
	struct engine *e = (struct engine *)self;
	uint64_t n = PyLong_AsUnsignedLongLong(arg);
	if (PyErr_Occurred() || engine_check(e) != 0)
		return NULL;
	atomic_store(&e->common->limit, n);
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < e->nworkers; i++)
		if (e->workers[i].job && e->workers[i].ctl)
			worker_ring(&e->workers[i]);
	Py_RETURN_NONE;
}

PyObject *engine_quit(PyObject *self, PyObject *no)
{
	struct engine *e = (struct engine *)self;
	(void)no;
	if (engine_check(e) != 0)
		return NULL;
	for (unsigned i = 0; i < e->nworkers; i++)
		if (e->workers[i].job && e->workers[i].ctl) {
			atomic_store(&e->workers[i].ctl->quit, 1);
			worker_ring(&e->workers[i]);
		}
	Py_RETURN_NONE;
}

PyObject *engine_work(PyObject *self, PyObject *no)
{
	struct engine *e = (struct engine *)self;
	(void)no;
	if (engine_check(e) != 0)
		return NULL;
	uint64_t next = atomic_load(&e->common->next), limit = atomic_load(&e->common->limit);
	return PyLong_FromUnsignedLongLong(e->nqueued + (next < limit ? limit - next : 0));
}
