/* engine.c - the parent's side: workers, requests on their way, replies, deaths.
 *
 * Processes are libprong's: each worker is one function job of its pool.  What is here is the
 * channel to them.  prong_wait() is only ever asked to look (timeout 0), under the GIL; the
 * sleeping is a poll() of the pool's descriptor and of the bell, without it. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- making and ending ---- */

int engine_oserror(int e)
{
	if (PyErr_Occurred())
		return -1;
	errno = -e;
	PyErr_SetFromErrno(PyExc_OSError);
	return -1;
}

/* A fork runs Python's hooks, which may give the GIL to another thread in the middle of a call
 * of libprong: only one thread may be there. */
int engine_enter(struct engine *e)
{
	while (e->in_pool) {
		if (pthread_equal(e->inside, pthread_self())) {
			PyErr_SetString(PyExc_RuntimeError, "a fork hook cannot use the pool that forks");
			return -1;
		}
		Py_BEGIN_ALLOW_THREADS
		usleep(100);
		Py_END_ALLOW_THREADS
		if (engine_check(e) != 0)
			return -1;
	}
	e->in_pool = true;
	e->inside = pthread_self();
	return 0;
}

void engine_leave(struct engine *e)
{
	engine_kill_due(e);
	e->in_pool = false;
}

static int open_shared(struct engine *e)
{
	void *common = NULL;
	if (e->template_fd < 0)
		common = shared(sizeof *e->common);
	else if ((e->common_fd = template_share(sizeof *e->common, &common)) < 0)
		return engine_oserror(e->common_fd);
	e->common = common;
	e->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->nworkers = e->flags & ENGINE_FORKS ? 2 * e->nseats : e->nseats;
	e->workers = PyMem_Calloc(e->nworkers, sizeof *e->workers);
	if (!e->common || e->bell < 0)
		return engine_oserror(-errno);
	e->seen = e->total ? PyMem_Calloc(e->total / 8 + 1, 1) : NULL;
	if (!e->workers || (e->total && !e->seen)) {
		PyErr_NoMemory();
		return -1;
	}
	for (unsigned i = 0; i < e->nworkers; i++) {
		e->workers[i].eng = e;
		e->workers[i].index = i;
		template_none(&e->workers[i]);
	}
	return 0;
}

static int open_pool(struct engine *e)
{
	struct prong_options o = { .size = sizeof o, .jobs = e->nworkers, .fork = fork_python,
		                   .termseq = "KILL,20" };
	int r = guard_open();
	if (e->template_fd >= 0) {
		o.fork = template_fork;
		o.fork_arg = e;
	}
	if (r == 0)
		r = prong_open(&e->pool, &o);
	if (r == 0)
		r = e->pool_fd = prong_fd(e->pool);
	if (r >= 0)
		return 0;
	return engine_oserror(r);
}

static unsigned fork_generation(void);

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
	static char *names[] = { "jobs", "entry", "seqs", "total", "flags", "chunk",
		                 "template", "payload", "std", NULL };
	unsigned jobs = 1, flags = 0;
	unsigned long long total = 0;
	long long chunk = 0;
	int template = -1;
	PyObject *entry = Py_None, *seqs = NULL, *payload = NULL, *std = Py_None;
	if (!PyArg_ParseTupleAndKeywords(args, kw, "I|OO!KILiSO", names, &jobs, &entry,
	                                 &PyTuple_Type, &seqs, &total, &flags, &chunk, &template,
	                                 &payload, &std))
		return NULL;
	if (!jobs)
		return PyErr_Format(PyExc_ValueError, "jobs must be at least 1");
	struct engine *e = (struct engine *)PyType_GenericAlloc(type, 0);
	if (!e)
		return NULL;
	e->bell = e->pool_fd = e->common_fd = e->payload_fd = -1;
	e->template_fd = -1;
	e->std = std != Py_None ? Py_NewRef(std) : NULL;
	e->owner = getpid();
	e->generation = fork_generation();
	e->accepting = true;
	e->nseats = jobs;
	e->flags = flags;
	e->chunk = chunk;
	e->total = total;
	e->window = 128;
	e->spin_good = true;
	e->entry = Py_NewRef(entry);
	e->seqs = seqs ? Py_NewRef(seqs) : NULL;
	e->trash = PyList_New(0);
	if (template >= 0 && (e->template_fd = fcntl(template, F_DUPFD_CLOEXEC, 3)) < 0)
		engine_oserror(-errno);
	if (payload && (e->payload_fd = template_payload(payload)) < 0)
		engine_oserror(e->payload_fd);
	if (PyErr_Occurred() || !e->trash || open_shared(e) != 0 || open_pool(e) != 0) {
		Py_DECREF(e);
		return NULL;
	}
	return (PyObject *)e;
}

static void msg_free(struct msg *m)
{
	if (m && m->big)
		value_release(&m->value);
	PyMem_Free(m);
}

static void worker_unmap(struct worker *w)
{
	if (w->eng->template_fd >= 0)
		template_unmap(w);
	ring_unmap(&w->req);
	ring_unmap(&w->rep);
	if (w->ctl)
		munmap(w->ctl, sizeof *w->ctl);
	w->ctl = NULL;
	inflow_drop(&w->in);
	msg_free(w->out);
	w->out = NULL;
}

/* Threads in rest() and spin() look at the maps without the GIL, those that fork or rebuild a
 * result may have lost it: get them out first. */
static void wait_for_others(struct engine *e)
{
	uint64_t one = 1;
	while ((e->sleepers || e->in_pool || e->busy) && e->owner == getpid()) {
		while (write(e->bell, &one, sizeof one) < 0 && errno == EINTR)
			;
		Py_BEGIN_ALLOW_THREADS
		usleep(100);
		Py_END_ALLOW_THREADS
	}
}

/* Everything of it ends here: running workers are killed. */
void engine_shut(struct engine *e)
{
	e->closed = true;
	e->shut_due = e->busy && e->owner == getpid() && pthread_equal(e->turner, pthread_self());
	if (e->shut_due)
		return;
	struct prong *pool = e->pool;
	e->pool = NULL;
	wait_for_others(e);
	if (e->owner != getpid())
		pool = NULL; /* a copy in a child: its descriptors are not worth the risk */
	for (unsigned i = 0; pool && e->workers && i < e->nworkers; i++)
		if (e->workers[i].job && e->workers[i].pid > 0)
			sweep_worker(e->workers[i].pid);
	prong_close(pool);
	for (unsigned i = 0; e->workers && i < e->nworkers; i++)
		worker_unmap(&e->workers[i]);
	for (struct msg *m; (m = e->head);) {
		e->head = m->next;
		msg_free(m);
	}
	e->last = NULL;
	e->nqueued = 0;
	e->live = e->singles = 0;
	if (e->common)
		munmap(e->common, sizeof *e->common);
	e->common = NULL;
	int *fds[] = { &e->bell, &e->common_fd, &e->payload_fd, &e->template_fd };
	for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static PyObject *engine_close(PyObject *self, PyObject *no)
{
	(void)no;
	engine_shut((struct engine *)self);
	Py_RETURN_NONE;
}

static int engine_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct engine *e = (struct engine *)self;
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(e->entry);
	Py_VISIT(e->seqs);
	Py_VISIT(e->std);
	Py_VISIT(e->fn);
	Py_VISIT(e->futures);
	Py_VISIT(e->trash);
	Py_VISIT(e->kept);
	return 0;
}

static int engine_clear(PyObject *self)
{
	struct engine *e = (struct engine *)self;
	Py_CLEAR(e->entry);
	Py_CLEAR(e->seqs);
	Py_CLEAR(e->std);
	Py_CLEAR(e->fn);
	Py_CLEAR(e->futures);
	Py_CLEAR(e->trash);
	Py_CLEAR(e->kept);
	return 0;
}

static void engine_dealloc(PyObject *self)
{
	struct engine *e = (struct engine *)self;
	PyTypeObject *t = Py_TYPE(self);
	PyObject_GC_UnTrack(self);
	engine_shut(e);
	engine_clear(self);
	PyMem_Free(e->workers);
	PyMem_Free(e->seen);
	PyObject_GC_Del(self);
	Py_DECREF(t);
}

/* Asking for the pid would cost as much as a short task's whole request. */
static unsigned generation;

static void one_more(void)
{
	generation++;
}

static unsigned fork_generation(void)
{
	static bool watched;
	if (!watched)
		watched = pthread_atfork(NULL, NULL, one_more) == 0;
	return generation;
}

bool engine_inherited(const struct engine *e)
{
	return e->generation != generation;
}

int engine_check(struct engine *e)
{
	if (e->closed) {
		PyErr_SetString(PyExc_ValueError, "this engine is closed");
		return -1;
	}
	if (engine_inherited(e)) {
		PyErr_SetString(PyExc_RuntimeError,
		                "this pool was made by another process, before a fork: make one here");
		return -1;
	}
	return 0;
}

static PyMethodDef methods[] = {
	{ "take", engine_take, METH_NOARGS, "take(): events that are there" },
	{ "fork_task", engine_fork_task, METH_VARARGS, "fork_task(id): a process for this task" },
	{ "start", engine_start, METH_O, "start(n): start up to n more workers; how many began" },
	{ "poll", engine_poll, METH_VARARGS, "poll(seconds=None, sink=None): the next events" },
	{ "spin", engine_spin, METH_O, "spin(microseconds): has a reply arrived?" },
	{ "put", engine_put, METH_VARARGS, "put(id, item): fn(item) in a worker" },
	{ "call", engine_call, METH_VARARGS, "call(id, (f, args, kwargs)): in a worker" },
	{ "submit", (PyCFunction)(void (*)(void))engine_submit, METH_FASTCALL,
	  "submit(id, future, fn, args, kwargs): fn(*args, **kwargs) in a worker, into future" },
	{ "range", engine_range, METH_VARARGS, "range(a, b): items a..b-1 once more" },
	{ "revoke", engine_revoke, METH_O, "revoke(id): take a request back; False if it runs" },
	{ "kill", engine_kill, METH_VARARGS, "kill(id, reason): kill the worker that runs it" },
	{ "running", engine_running, METH_O, "running(id): does a worker run it now?" },
	{ "limit", engine_limit, METH_O, "limit(n): items below n may be claimed" },
	{ "quit", engine_quit, METH_NOARGS, "quit(): workers end when nothing is left to do" },
	{ "command", (PyCFunction)(void (*)(void))engine_command, METH_VARARGS | METH_KEYWORDS,
	  "command(id, argv, ...): run a program" },
	{ "stop", engine_stop, METH_O, "stop(id): end a command by its termination sequence" },
	{ "work", engine_work, METH_NOARGS, "work(): requests and items nobody has begun" },
	{ "wake", engine_wake, METH_NOARGS, "wake(): make poll() return" },
	{ "close", engine_close, METH_NOARGS, "close(): kill what runs and free everything" },
	{ "pids", engine_pids, METH_NOARGS, "pids(): of the workers" },
	{ NULL, NULL, 0, NULL }
};

static PyType_Slot slots[] = {
	{ Py_tp_new, engine_new },
	{ Py_tp_dealloc, engine_dealloc },
	{ Py_tp_traverse, engine_traverse },
	{ Py_tp_clear, engine_clear },
	{ Py_tp_methods, methods },
	{ Py_tp_members, engine_members },
	{ Py_tp_doc, "Workers of one pool and the channel to them; internal." },
	{ 0, NULL }
};

PyType_Spec engine_spec = { "_prong.Engine", sizeof(struct engine), 0,
	                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots };
