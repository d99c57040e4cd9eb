/* engine.c - the parent's side: workers, requests on their way, replies, deaths.
 *
 * Processes are libprong's: each worker is one function job of its pool.  What is here is the
 * channel to them.  prong_wait() is only ever asked to look (timeout 0), under the GIL; the
 * sleeping is a poll() of the pool's descriptor and of the bell, without it. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPIN_US = 50, NAP_MS = 500 };

/* ---- making and ending ---- */

static pid_t fork_python(void *arg)
{
	(void)arg;
	look_for_openmp();
	PyOS_BeforeFork();
	quiet_fork();
	pid_t pid = fork();
	int err = errno;
	if (pid == 0)
		PyOS_AfterFork_Child();
	else
		PyOS_AfterFork_Parent();
	errno = err;
	return pid;
}

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

static void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
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

/* ---- starting workers ---- */

static int worker_ring_map(struct ring *r, size_t size, bool keep)
{
	if (!keep)
		return ring_map(r, size);
	r->fd = ring_file(size);
	return r->fd < 0 ? r->fd : ring_map_file(r, size, r->fd);
}

/* Threads in spin() look at every worker that has a ctl, without the GIL: it comes last. */
static int worker_map(struct worker *w)
{
	if (w->ctl)
		return 0;
	bool keep = w->eng->template_fd >= 0;
	void *ctl = NULL;
	if (!keep)
		ctl = shared(sizeof *w->ctl);
	else if ((w->ctl_fd = template_share(sizeof *w->ctl, &ctl)) < 0)
		return w->ctl_fd;
	int r = ctl ? worker_ring_map(&w->req, REQ_SIZE, keep) : -errno;
	if (r == 0)
		r = worker_ring_map(&w->rep, REP_SIZE, keep);
	if (r != 0) {
		ring_unmap(&w->req);
		if (ctl)
			munmap(ctl, sizeof *w->ctl);
		template_unmap(w);
		return r;
	}
	w->req.pos = &((struct ctl *)ctl)->req;
	w->rep.pos = &((struct ctl *)ctl)->rep;
	w->ctl = ctl;
	return 0;
}

static void worker_fresh(struct worker *w)
{
	memset(w->ctl, 0, sizeof *w->ctl);
	w->asked = w->stream_end = w->tasks = w->given = w->last_reply = 0;
	w->single = false;
	w->ended = false;
	w->reason = KILL_NOT;
	w->kill_due = false;
	w->ntail = 0;
	w->pid = 0;
	w->out_seg = 0;
	w->out_off = 0;
}

static int worker_start(struct engine *e, struct worker *w, bool single, uint64_t id)
{
	int r = worker_map(w);
	if (r != 0)
		return r;
	worker_fresh(w);
	w->single = single;
	w->single_id = id;
	w->given = single;
	bool tee = e->flags & ENGINE_TEE;
	if (engine_enter(e) != 0)
		return -EBUSY; /* with an exception */
	if (e->template_fd >= 0) {
		r = template_prepare(w, tee);
		tee = false;
	}
	int64_t job = r != 0 ? r : prong_submit(e->pool, PRONG_SPEC(.fn = worker_main, .arg = w, .tag = w,
		.out = { .how = PRONG_INHERIT }, .err = { .how = tee ? PRONG_PIPE : PRONG_INHERIT },
		.flags = PRONG_NEW_SESSION));
	if (job > 0)
		w->job = job;
	engine_leave(e);
	if (job < 0) {
		template_bury(w);
		return (int)job;
	}
	if (single)
		e->singles++;
	else
		e->live++;
	return 0;
}

/* start(n): so many more workers, if there are seats.  Returns how many. */
static PyObject *engine_start(PyObject *self, PyObject *arg)
{
	struct engine *e = (struct engine *)self;
	long n = PyLong_AsLong(arg), started = 0;
	if ((n == -1 && PyErr_Occurred()) || engine_check(e) != 0)
		return NULL;
	for (unsigned i = 0; i < e->nseats && started < n; i++) {
		if (e->workers[i].job)
			continue;
		int r = worker_start(e, &e->workers[i], false, 0);
		if (r != 0) {
			engine_oserror(r);
			return NULL;
		}
		started++;
	}
	return PyLong_FromLong(started);
}

/* fork_task(id, payload): a process for this task alone, which runs entry.single(id).  False: as
 * many tasks run as may.  payload: the template's process finds its entry in it. */
static PyObject *engine_fork_task(PyObject *self, PyObject *args)
{
	struct engine *e = (struct engine *)self;
	unsigned long long id;
	PyObject *payload = NULL;
	if (!PyArg_ParseTuple(args, "K|S", &id, &payload) || engine_check(e) != 0)
		return NULL;
	if (engine_active(e) >= e->nseats)
		Py_RETURN_FALSE;
	for (unsigned i = e->nseats; i < e->nworkers; i++) {
		if (e->workers[i].job)
			continue;
		int r = payload ? template_payload(payload) : 0;
		if (payload && r >= 0)
			e->workers[i].payload_fd = r;
		if (r >= 0)
			r = worker_start(e, &e->workers[i], true, id);
		if (r == 0)
			Py_RETURN_TRUE;
		engine_oserror(r);
		return NULL;
	}
	Py_RETURN_FALSE;
}

/* ---- sleeping ---- */

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
static PyObject *engine_spin(PyObject *self, PyObject *arg)
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

/* ---- poll ---- */

/* poll(seconds, sink): events so far, or the first within the time (None: for ever).
 * With a list as sink, results go to sink[id] and are only counted. */
static PyObject *engine_poll(PyObject *self, PyObject *args)
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
static PyObject *engine_take(PyObject *self, PyObject *no)
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
