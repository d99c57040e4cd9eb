/* kill.c - ending the worker of a task: cancelled, or over its time. */
#include "engine.h"

#include <signal.h>

void engine_kill_due(struct engine *e)
{
	for (unsigned i = 0; e->pool && i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];
		if (!w->kill_due || !w->job)
			continue;
		if (w->pid > 0)
			sweep_worker(w->pid);
		w->kill_due = prong_signal(e->pool, w->job, SIGKILL) != 0;
	}
}

static bool kill_task(struct engine *e, struct worker *w, uint64_t id, int reason)
{
	uint64_t busy = id * 4 + TASK_BUSY;
	if (!atomic_compare_exchange_strong(&w->ctl->task, &busy, id * 4 + TASK_KILLED))
		return false;
	w->reason = reason;
	w->kill_due = true;
	if (!e->in_pool)
		engine_kill_due(e);
	return true;
}

void kill_overdue(struct engine *e)
{
	if (e->timeout <= 0)
		return;
	int64_t limit = (int64_t)(e->timeout * 1e9), now = now_ns();
	for (unsigned i = 0; i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];
		if (!w->job || !w->ctl || w->reason)
			continue;
		uint64_t task = atomic_load(&w->ctl->task);
		int64_t since = atomic_load(&w->ctl->since);
		if ((task & 3) == TASK_BUSY && now - since >= limit &&
		    atomic_load(&w->ctl->task) == task)
			kill_task(e, w, task / 4, KILL_TIMEOUT);
	}
}

PyObject *engine_kill(PyObject *self, PyObject *args)
{
	struct engine *e = (struct engine *)self;
	unsigned long long id;
	int reason = KILL_CANCEL;
	bool done = false;
	if (!PyArg_ParseTuple(args, "K|i", &id, &reason) || engine_check(e) != 0)
		return NULL;
	for (unsigned i = 0; !done && i < e->nworkers; i++)
		if (e->workers[i].job && e->workers[i].ctl && !e->workers[i].reason)
			done = kill_task(e, &e->workers[i], id, reason);
	return PyBool_FromLong(done);
}

static bool worker_runs(const struct worker *w, uint64_t id)
{
	return w->job && w->ctl && atomic_load(&w->ctl->task) == id * 4 + TASK_BUSY &&
	       w->last_reply != id + 1;
}

PyObject *engine_running(PyObject *self, PyObject *arg)
{
	struct engine *e = (struct engine *)self;
	uint64_t id = PyLong_AsUnsignedLongLong(arg);
	if (PyErr_Occurred() || engine_check(e) != 0)
		return NULL;
	for (unsigned i = 0; i < e->nworkers; i++)
		if (worker_runs(&e->workers[i], id))
			Py_RETURN_TRUE;
	Py_RETURN_FALSE;
}
