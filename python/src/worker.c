/* worker.c - the loop of a worker: take a request or claim an item, call, write the reply.
 *
 * Every result is in shared memory before the next task begins, so a worker that dies takes
 * only its current task with it. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	SPIN_NS = 50000,        /* how long an idle worker looks by itself before it sleeps */
	CHUNK_MIN_NS = 100000,  /* a claim that takes less is too small */
	CHUNK_MAX_NS = 400000,
	CHUNK_MAX = 1 << 16,
	LOOK_NS = 1000000,      /* between two looks at our memory */
	RING_BELL_NS = 500000   /* between two rings while there is more to do */
};

struct loop {
	struct worker *w;
	struct engine *e;
	struct ctl *c;
	int64_t last_bell, last_look, woke; /* woke: when the request at hand could begin */
	uint64_t chunk, ndone;
	bool spins_pay, answers; /* answers: what is said next answers a request */
};

/* ---- to the parent ---- */

static void bell(struct loop *l)
{
	struct common *c = l->e->common;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&c->awake) || !atomic_load(&c->armed) || !atomic_exchange(&c->armed, 0))
		return;
	uint64_t one = 1;
	while (write(l->e->bell, &one, sizeof one) < 0 && errno == EINTR)
		;
}

/* Without the GIL: other threads of the task may run meanwhile. */
static void wait_for_space(struct loop *l, size_t need)
{
	struct ctl *c = l->c;
	Py_BEGIN_ALLOW_THREADS
	for (int i = 0; i < 2000 && ring_free(&l->w->rep) < need; i++)
		relax();
	while (ring_free(&l->w->rep) < need) {
		bell(l);
		uint32_t seen = atomic_load(&c->wake);
		atomic_store(&c->wants_space, 1);
		if (ring_free(&l->w->rep) >= need) {
			atomic_store(&c->wants_space, 0);
			break;
		}
		bell(l); /* the parent may have gone to sleep before it saw that we wait */
		sleep_on(&c->wake, seen, -1);
	}
	Py_END_ALLOW_THREADS
}

static void put(struct ring *r, uint64_t *at, const void *p, size_t n)
{
	memcpy(ring_at(r, *at), p, n);
	*at += n;
}

static void publish(struct ring *r, uint64_t at)
{
	atomic_store_explicit(&r->pos->head, (at + 7) & ~UINT64_C(7), memory_order_release);
}

static void stream(struct loop *l, const struct value *v)
{
	struct ring *r = &l->w->rep;
	const size_t piece = r->size / 4;
	uint64_t todo = v->len, at = atomic_load_explicit(&r->pos->head, memory_order_relaxed);
	for (unsigned i = 0; i < v->nseg; i++) {
		const char *p = v->seg[i].p;
		for (size_t left = v->seg[i].n; left;) {
			size_t n = left < piece ? left : piece;
			wait_for_space(l, n + 8);
			put(r, &at, p, n);
			p += n;
			left -= n;
			todo -= n;
			/* the padding comes with the last byte: its reader looks for it */
			if (todo)
				atomic_store_explicit(&r->pos->head, at, memory_order_release);
			else
				publish(r, at);
			bell(l);
		}
	}
}

static bool say_compact(struct loop *l, uint64_t id, PyObject *r)
{
	struct ring *ring = &l->w->rep;
	struct compact c = { 0 };
	int tag = TAG_NONE, over = 0;
	if (PyLong_CheckExact(r)) {
		tag = TAG_INT;
		c.num = PyLong_AsLongLongAndOverflow(r, &over);
	} else if (PyFloat_CheckExact(r)) {
		double d = PyFloat_AsDouble(r);
		tag = TAG_FLOAT;
		memcpy(&c.num, &d, sizeof d);
	} else if (r == Py_True || r == Py_False) {
		tag = r == Py_True ? TAG_TRUE : TAG_FALSE;
	} else if (r != Py_None) {
		return false;
	}
	if (over || id > COMPACT_ID)
		return false;
	c.id = COMPACT | (uint64_t)tag << COMPACT_SHIFT | id;
	if (ring_free(ring) < sizeof c)
		wait_for_space(l, sizeof c);
	uint64_t at = atomic_load_explicit(&ring->pos->head, memory_order_relaxed);
	put(ring, &at, &c, sizeof c);
	atomic_store_explicit(&ring->pos->head, at, memory_order_release);
	if (ring_used(ring) > ring->size / 4)
		bell(l);
	return true;
}

static void say(struct loop *l, int kind, uint64_t id, const struct value *v)
{
	struct ring *r = &l->w->rep;
	struct header h = { .id = id, .len = v->len, .tag = (uint8_t)v->tag,
		            .kind = (uint8_t)kind, .nbuf = v->nbuf,
		            .more = l->answers ? SAY_LAST : 0 };
	size_t whole = sizeof h + padded(v->len);
	bool big = whole > r->size / 2;
	size_t need = big ? sizeof h : whole;
	if (ring_free(r) < need)
		wait_for_space(l, need);
	uint64_t at = atomic_load_explicit(&r->pos->head, memory_order_relaxed);
	put(r, &at, &h, sizeof h);
	for (unsigned i = 0; !big && i < v->nseg; i++)
		put(r, &at, v->seg[i].p, v->seg[i].n);
	publish(r, at);
	if (big)
		stream(l, v);
	else if (ring_used(r) > r->size / 4)
		bell(l);
}

/* sys.exit() in a task ends the worker, as os._exit() does: the caller gets a certificate. */
static void exit_as_asked(struct loop *l, PyObject *x)
{
	PyObject *status = PyObject_CallMethod(l->e->entry, "exit_status", "O", x);
	long n = status ? PyLong_AsLong(status) : 1;
	flush_streams();
	fflush(NULL);
	_exit((int)n);
}

/* What an exception is packed into: entry.error(exception). */
static void say_error(struct loop *l, int kind, uint64_t id)
{
	PyObject *t, *x, *tb, *packed;
	struct value v;
	PyErr_Fetch(&t, &x, &tb);
	PyErr_NormalizeException(&t, &x, &tb);
	if (tb)
		PyException_SetTraceback(x, tb);
	if (kind == SAY_ERROR && PyErr_GivenExceptionMatches(t, PyExc_SystemExit))
		exit_as_asked(l, x);
	packed = PyObject_CallMethod(l->e->entry, "error", "O", x);
	if (!packed)
		PyErr_Clear();
	if (!packed || value_encode(&v, packed) != 0) {
		PyErr_Clear();
		static const char text[] = "the exception could not be described";
		v = (struct value){ .tag = TAG_STR, .nseg = 1, .seg = v.few, .len = sizeof text - 1 };
		v.few[0] = (struct seg){ text, sizeof text - 1 };
		v.seg = v.few;
	}
	say(l, kind, id, &v);
	value_release(&v);
	Py_XDECREF(packed);
	Py_XDECREF(t);
	Py_XDECREF(x);
	Py_XDECREF(tb);
}

/* The exception that is set is about sending this. */
static void name_result(struct loop *l, PyObject *result)
{
	PyObject *t, *x, *tb;
	PyErr_Fetch(&t, &x, &tb);
	PyErr_NormalizeException(&t, &x, &tb);
	PyObject *no = PyObject_CallMethod(l->e->entry, "unsent", "OO", x, result);
	if (!no)
		PyErr_Clear();
	Py_XDECREF(no);
	PyErr_Restore(t, x, tb);
}

static void say_result(struct loop *l, uint64_t id, PyObject *r)
{
	struct value v;
	if (r && say_compact(l, id, r)) {
		Py_DECREF(r);
		return;
	}
	if (r && value_encode(&v, r) == 0) {
		say(l, SAY_RESULT, id, &v);
		value_release(&v);
	} else {
		if (r) { /* encode failed half way */
			value_release(&v);
			name_result(l, r);
		}
		say_error(l, SAY_ERROR, id);
	}
	Py_XDECREF(r);
}

/* ---- one task ---- */

static void begin(struct loop *l, uint64_t id)
{
	if (l->e->flags & ENGINE_TIMED)
		atomic_store_explicit(&l->c->since, now_ns(), memory_order_relaxed);
	atomic_store_explicit(&l->c->task, id * 4 + TASK_BUSY, memory_order_release);
}

static void done(struct loop *l, uint64_t id)
{
	uint64_t busy = id * 4 + TASK_BUSY;
	l->ndone++;
	if (l->answers)
		atomic_fetch_add(&l->c->answered, 1);
	l->answers = false;
	if (!atomic_compare_exchange_strong(&l->c->task, &busy, id * 4 + TASK_IDLE))
		for (;;) /* we are about to be killed for it */
			pause();
}

static PyObject *call_item(struct loop *l, uint64_t id, PyObject *item)
{
	unsigned f = l->e->flags;
	PyObject *r = NULL;
	if (!(f & (ENGINE_STAR | ENGINE_INDEXED)))
		return PyObject_CallFunctionObjArgs(l->e->fn, item, NULL);
	if (f & ENGINE_INDEXED) {
		PyObject *i = PyLong_FromUnsignedLongLong(id);
		if (i)
			r = PyObject_CallFunctionObjArgs(l->e->fn, i, item, NULL);
		Py_XDECREF(i);
		return r;
	}
	PyObject *args = PySequence_Tuple(item);
	if (args)
		r = PyObject_Call(l->e->fn, args, NULL);
	Py_XDECREF(args);
	return r;
}

/* Item i of the inherited sequences: itself, or a tuple if there are several. */
static PyObject *item_at(struct loop *l, uint64_t i)
{
	PyObject *seqs = l->e->seqs;
	Py_ssize_t n = PyTuple_Size(seqs);
	if (n == 1)
		return PySequence_GetItem(PyTuple_GetItem(seqs, 0), (Py_ssize_t)i);
	PyObject *t = PyTuple_New(n);
	for (Py_ssize_t k = 0; t && k < n; k++) {
		PyObject *o = PySequence_GetItem(PyTuple_GetItem(seqs, k), (Py_ssize_t)i);
		if (!o || PyTuple_SetItem(t, k, o) != 0)
			Py_CLEAR(t);
	}
	return t;
}

static void run_range(struct loop *l, uint64_t from, uint64_t to, bool asked)
{
	for (uint64_t i = from; i < to; i++) {
		begin(l, i);
		PyObject *item = item_at(l, i);
		PyObject *r = item ? call_item(l, i, item) : NULL;
		Py_XDECREF(item);
		l->answers = asked && i + 1 == to;
		say_result(l, i, r);
		done(l, i);
	}
}

static PyObject *call_tuple(PyObject *t)
{
	PyObject *kw = PyTuple_Check(t) && PyTuple_Size(t) == 3 ? PyTuple_GetItem(t, 2) : NULL;
	if (!kw)
		return PyErr_Format(PyExc_SystemError, "prong: not a call");
	return PyObject_Call(PyTuple_GetItem(t, 0), PyTuple_GetItem(t, 1),
	                     kw == Py_None ? NULL : kw);
}

static void run_ask(struct loop *l, const struct header *h, PyObject *arg)
{
	PyObject *r = NULL;
	if (!arg) {
		l->answers = true;
		say_error(l, SAY_UNREADABLE, h->id);
		done(l, h->id);
		return;
	}
	r = h->kind == ASK_CALL && !(l->e->flags & ENGINE_INDEXED) ? call_tuple(arg)
		                                                          : call_item(l, h->id, arg);
	Py_XDECREF(arg);
	if (l->e->flags & ENGINE_FLUSH)
		flush_streams();
	l->answers = true;
	say_result(l, h->id, r);
	done(l, h->id);
}

/* ---- from the parent ---- */

static void wait_for_request(struct loop *l)
{
	struct ctl *c = l->c;
	uint32_t seen = atomic_load(&c->wake);
	atomic_store(&c->asleep, 1);
	atomic_thread_fence(memory_order_seq_cst);
	bell(l);
	if (!ring_used(&l->w->req))
		sleep_on(&c->wake, seen, -1);
	atomic_store(&c->asleep, 0);
}

/* What cannot be stored (no memory) must be taken all the same: the next one follows. */
static PyObject *receive_stream(struct loop *l, const struct header *h)
{
	struct ring *r = &l->w->req;
	struct inflow f;
	PyObject *t = NULL, *x = NULL, *tb = NULL;
	bool ok = inflow_begin(&f, h) == 0;
	uint64_t left = h->len;
	while (left) {
		size_t n = ring_used(r);
		if (!n) {
			wait_for_request(l);
			continue;
		}
		uint64_t tail = atomic_load_explicit(&r->pos->tail, memory_order_relaxed);
		if (n > left)
			n = (size_t)left;
		ok = ok && inflow_take(&f, ring_at(r, tail), n) >= 0;
		left -= n;
		tail += n;
		if (!left)
			tail = (tail + 7) & ~UINT64_C(7);
		atomic_store_explicit(&r->pos->tail, tail, memory_order_release);
		bell(l);
	}
	if (ok)
		return inflow_finish(&f);
	PyErr_Fetch(&t, &x, &tb);
	inflow_drop(&f);
	PyErr_Restore(t, x, tb);
	return NULL;
}

/* One request, if there is one: true. */
static bool serve(struct loop *l)
{
	struct ring *r = &l->w->req;
	if (!ring_used(r))
		return false;
	uint64_t tail = atomic_load_explicit(&r->pos->tail, memory_order_relaxed);
	struct header *in = (void *)ring_at(r, tail), h;
	memcpy(&h, in, sizeof h);
	uint32_t ready = REQ_READY;
	size_t whole = sizeof h + padded(h.len);
	bool big = whole > r->size / 2;
	if (!atomic_compare_exchange_strong(&in->state, &ready, REQ_TAKEN)) {
		atomic_store_explicit(&r->pos->tail, tail + whole, memory_order_release);
		return true;
	}
	if (h.kind == ASK_RANGE) {
		uint64_t to;
		memcpy(&to, in + 1, sizeof to);
		atomic_store(&l->c->from, h.id);
		atomic_store(&l->c->to, to);
		atomic_store_explicit(&r->pos->tail, tail + whole, memory_order_release);
		run_range(l, h.id, to, true);
		return true;
	}
	begin(l, h.id);
	PyObject *arg;
	if (big) {
		atomic_store_explicit(&r->pos->tail, tail + sizeof h, memory_order_release);
		arg = receive_stream(l, &h);
	} else {
		arg = value_decode(h.tag, h.nbuf, (unsigned char *)(in + 1), h.len);
		atomic_store_explicit(&r->pos->tail, tail + whole, memory_order_release);
	}
	run_ask(l, &h, arg);
	return true;
}

static bool claim(struct loop *l, uint64_t *from, uint64_t *to)
{
	struct common *c = l->e->common;
	uint64_t next = atomic_load(&c->next);
	for (;;) {
		uint64_t limit = atomic_load(&c->limit);
		if (next >= limit)
			return false;
		uint64_t n = l->chunk, share = (limit - next) / (2 * l->e->nseats) + 1;
		if (!l->e->chunk && n > share)
			n = share;
		if (l->e->max_tasks && n > l->e->max_tasks - l->ndone)
			n = l->e->max_tasks - l->ndone;
		if (n > limit - next)
			n = limit - next;
		/* the parent must be able to see what we have, if we die right here */
		atomic_store(&l->c->from, next);
		atomic_store(&l->c->to, next + n);
		if (atomic_compare_exchange_strong(&c->next, &next, next + n)) {
			*from = next;
			*to = next + n;
			return true;
		}
	}
}

static bool work_off_claim(struct loop *l)
{
	uint64_t from, to;
	if (!claim(l, &from, &to))
		return false;
	int64_t t = now_ns();
	run_range(l, from, to, false);
	t = now_ns() - t;
	if (!l->e->chunk && t < CHUNK_MIN_NS && l->chunk < CHUNK_MAX)
		l->chunk *= 2;
	else if (!l->e->chunk && t > CHUNK_MAX_NS && l->chunk > 1)
		l->chunk /= 2;
	return true;
}

static bool anything(struct loop *l)
{
	struct common *c = l->e->common;
	return ring_used(&l->w->req) || atomic_load(&l->c->quit) ||
	       atomic_load(&c->next) < atomic_load(&c->limit);
}

/* Spin while it has paid lately, then sleep. */
static void rest(struct loop *l)
{
	struct ctl *c = l->c;
	if (ring_used(&l->w->rep))
		bell(l);
	Py_BEGIN_ALLOW_THREADS
	int64_t until = now_ns() + (l->spins_pay ? SPIN_NS : SPIN_NS / 10);
	bool found = false;
	while (!(found = anything(l)) && now_ns() < until)
		for (int i = 0; i < 20; i++)
			relax();
	l->spins_pay = found;
	while (!anything(l)) {
		uint32_t seen = atomic_load(&c->wake);
		atomic_store(&c->asleep, 1);
		atomic_thread_fence(memory_order_seq_cst);
		if (!anything(l))
			sleep_on(&c->wake, seen, -1);
		atomic_store(&c->asleep, 0);
	}
	Py_END_ALLOW_THREADS
}

/* ---- the whole life ---- */

/* Has this process done its share?  Memory is looked at once in a while only. */
static bool worn_out(struct loop *l)
{
	if (l->e->max_tasks && l->ndone >= l->e->max_tasks)
		return true;
	int64_t t;
	if (!l->e->max_rss_kb || !l->ndone || (t = now_ns()) - l->last_look < LOOK_NS)
		return false;
	l->last_look = t;
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f && fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * ((unsigned long)sysconf(_SC_PAGESIZE) / 1024) > l->e->max_rss_kb;
}

/* An average of the last few. */
static void keep_pace(struct loop *l, int64_t ns)
{
	int64_t pace = (int64_t)atomic_load_explicit(&l->c->pace, memory_order_relaxed);
	pace = pace ? pace + (ns - pace) / 8 : ns;
	atomic_store_explicit(&l->c->pace, (uint64_t)(pace > 0 ? pace : 1), memory_order_relaxed);
}

static void next_may_begin(struct loop *l, int64_t now)
{
	l->woke = now;
	atomic_store_explicit(&l->c->began, now, memory_order_relaxed);
}

static void ring_sometimes(struct loop *l, int64_t now)
{
	if (now - l->last_bell > RING_BELL_NS) {
		l->last_bell = now;
		bell(l);
	}
}

static void main_loop(struct loop *l)
{
	while (!worn_out(l)) {
		if (serve(l)) {
			int64_t t = now_ns();
			keep_pace(l, t - l->woke);
			next_may_begin(l, t);
			ring_sometimes(l, t);
			continue;
		}
		if (work_off_claim(l)) {
			ring_sometimes(l, now_ns());
			continue;
		}
		if (!ring_used(&l->w->req) &&
		    (atomic_load(&l->c->quit) || (l->e->flags & ENGINE_AUTOQUIT)))
			return;
		flush_streams();
		rest(l);
		next_may_begin(l, now_ns());
	}
}

/* Other workers' and the pool's descriptors are close-on-exec; what matters is the guard. */
int worker_main(void *arg, int result_fd)
{
	struct worker *w = arg;
	struct loop l = { .w = w, .e = w->eng, .c = w->ctl, .chunk = 1, .spins_pay = true };
	(void)result_fd;
	guard_arm();
	use_huge_pages();
	if (l.e->chunk > 0)
		l.chunk = (uint64_t)l.e->chunk;
	PyObject *fn = PyObject_CallFunction(l.e->entry, "I", w->index);
	if (!fn) {
		say_error(&l, SAY_INIT_FAILED, w->index);
		flush_streams();
		bell(&l);
		return 1;
	}
	l.e->fn = fn;
	atomic_store_explicit(&l.c->task, TASK_IDLE, memory_order_release);
	if (w->single) {
		begin(&l, w->single_id);
		l.answers = true;
		say_result(&l, w->single_id, PyObject_CallMethod(l.e->entry, "single", "K",
		                                                 (unsigned long long)w->single_id));
		done(&l, w->single_id);
		bell(&l); /* what it does at its end may take long */
	} else {
		next_may_begin(&l, now_ns());
		main_loop(&l);
	}
	PyObject *r = PyObject_CallMethod(l.e->entry, "leave", NULL);
	if (!r)
		PyErr_WriteUnraisable(l.e->entry);
	Py_XDECREF(r);
	flush_streams();
	bell(&l);
	return 0;
}
