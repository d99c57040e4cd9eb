/* start.c - making workers: what they share with us, their rings, their processes. */
#include "engine.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

pid_t fork_python(void *arg)
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

void *shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

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
PyObject *engine_start(PyObject *self, PyObject *arg)
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
PyObject *engine_fork_task(PyObject *self, PyObject *args)
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
