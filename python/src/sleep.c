/* sleep.c - poll(): a look, a short spin, a sleep without the GIL. */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_US = 50, NAP_MS = 500 };

static bool replies(const struct engine *e)
{
	for (unsigned i = 0; i < e->nworkers; i++)
		if (e->workers[i].ctl && ring_used(&e->workers[i].rep))
			return true;
	return false;
}

/* May a request that goes out in pieces go on? */
static bool may_pour(const struct engine *e)
{
	for (unsigned i = 0; i < e->nseats; i++)
		if (e->workers[i].out && e->workers[i].ctl &&
		    ring_free(&e->workers[i].req) >= e->workers[i].req.size / 2)
			return true;
	return false;
}

/* Without the GIL.  Only shared memory is looked at; the maps live as long as `sleepers`. */
static bool spin(struct engine *e, int us)
{
	int64_t until = now_ns() + us * INT64_C(1000);
	bool found;
	while (!(found = replies(e) || may_pour(e)) && now_ns() < until)
		for (int i = 0; i < 20; i++)
			relax();
	return found;
}

static void eat_bell(struct engine *e)
{
	uint64_t n;
	while (read(e->bell, &n, sizeof n) < 0 && errno == EINTR)
		;
}

/* Until a timeout can strike, at most; -1: none does. */
static int64_t next_deadline(const struct engine *e)
{
	if (e->timeout <= 0)
		return -1;
	int64_t limit = (int64_t)(e->timeout * 1e9), now = now_ns(), least = limit;
	bool any = false;
	for (unsigned i = 0; i < e->nworkers; i++) {
		const struct worker *w = &e->workers[i];
		if (!w->job || !w->ctl || w->reason)
			continue;
		any = true;
		int64_t since = atomic_load(&w->ctl->since);
		if ((atomic_load(&w->ctl->task) & 3) == TASK_BUSY && since + limit - now < least)
			least = since + limit - now;
	}
	return any ? (least > 0 ? least : 0) : -1;
}

/* poll() without the GIL; true if interrupted by a signal. */
static bool nap(struct engine *e, int64_t ns)
{
	struct pollfd fds[2] = { { .fd = e->pool_fd, .events = POLLIN },
		                 { .fd = e->bell, .events = POLLIN } };
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	int r = ppoll(fds, 2, ns < 0 ? NULL : &ts, NULL);
	return r < 0 && errno == EINTR;
}

/* A worker rings once in a while only.  What it has left since, before a task that takes long, is
 * found soon after something came. */
static int64_t sleep_time(struct engine *e, int64_t until)
{
	bool soon = queue_uneven(e) || (e->told != e->done && engine_busy(e));
	int64_t ns = (soon ? LOOK_MS : NAP_MS) * INT64_C(1000000), d = next_deadline(e);
	e->told = e->done;
	if (until >= 0 && until - now_ns() < ns)
		ns = until - now_ns();
	if (d >= 0 && d < ns)
		ns = d;
	return ns > 0 ? ns : 0;
}

/* Spin a little, then sleep.  -1: a signal handler raised. */
static int rest(struct engine *e, int64_t until)
{
	int us = e->spin_good ? SPIN_US : SPIN_US / 10;
	int64_t ns = sleep_time(e, until);
	bool found;
	if (atomic_load(&e->common->awake))
		us = 0; /* another thread does */
	e->long_nap = ns > LOOK_MS * INT64_C(1000000);
	e->sleepers++;
	atomic_fetch_add(&e->common->awake, 1);
	Py_BEGIN_ALLOW_THREADS
	found = ns > 0 && spin(e, us);
	atomic_fetch_sub(&e->common->awake, 1);
	if (!found && ns > 0) {
		atomic_store(&e->common->armed, 1);
		atomic_thread_fence(memory_order_seq_cst);
		if (!replies(e) && !may_pour(e))
			nap(e, ns);
		atomic_store(&e->common->armed, 0);
		eat_bell(e);
	}
	Py_END_ALLOW_THREADS
	e->sleepers--;
	e->long_nap = false;
	e->spin_good = found;
	return PyErr_CheckSignals();
}

/* spin(us): true if a reply arrived meanwhile.  For threads that wait for one result. */
PyObject *engine_spin(PyObject *self, PyObject *arg)
{
	struct engine *e = (struct engine *)self;
	long us = PyLong_AsLong(arg);
	bool found;
	if ((us == -1 && PyErr_Occurred()) || engine_check(e) != 0)
		return NULL;
	e->sleepers++;
	atomic_fetch_add(&e->common->awake, 1);
	Py_BEGIN_ALLOW_THREADS
	found = spin(e, (int)us);
	Py_END_ALLOW_THREADS
	if (e->common)
		atomic_fetch_sub(&e->common->awake, 1);
	e->sleepers--;
	return PyBool_FromLong(found || (!e->closed && replies(e)));
}

/* poll(seconds, sink): events so far, or the first within the time (None: for ever).
 * With a list as sink, results go to sink[id] and are only counted. */
PyObject *engine_poll(PyObject *self, PyObject *args)
{
	struct engine *e = (struct engine *)self;
	PyObject *seconds = Py_None, *sink = Py_None;
	if (!PyArg_ParseTuple(args, "|OO", &seconds, &sink) || engine_check(e) != 0)
		return NULL;
	double s = seconds == Py_None ? -1 : PyFloat_AsDouble(seconds);
	if (PyErr_Occurred())
		return NULL;
	int64_t until = s < 0 || s > 1e9 ? -1 : now_ns() + (int64_t)(s * 1e9);
	PyObject *list = e->kept ? e->kept : PyList_New(0);
	uint64_t before = e->done;
	e->kept = NULL;
	while (list) {
		if (engine_turn(e, list, sink == Py_None ? NULL : sink) != 0)
			break;
		if (PyList_Size(list) || (sink == Py_None ? e->done != before : e->done >= e->total) || !engine_busy(e) || s == 0 ||
		    e->woken || (until >= 0 && now_ns() >= until)) {
			if (s != 0) /* it was for one that sleeps */
				e->woken = false;
			return list;
		}
		if (rest(e, until) != 0 || engine_check(e) != 0)
			break;
	}
	if (list && PyList_Size(list) && !e->kept)
		e->kept = list;
	else
		Py_XDECREF(list);
	return NULL;
}

/* take(): events from replies that are there, without a look at processes or timeouts. */
PyObject *engine_take(PyObject *self, PyObject *no)
{
	struct engine *e = (struct engine *)self;
	(void)no;
	if (engine_check(e) != 0)
		return NULL;
	PyObject *list = PyList_New(0);
	if (list && engine_drain(e, list) != 0)
		Py_CLEAR(list);
	return list;
}
