/* command.c - programs that are no workers. */
#include "engine.h"

#include <errno.h>
#include <unistd.h>

static PyObject *read_captured(const struct prong_captured *c)
{
	if (c->fd < 0)
		return Py_NewRef(Py_None);
	PyObject *b = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)c->len);
	char *p = b ? PyBytes_AsString(b) : NULL;
	for (int64_t got = 0; b && got < c->len;) {
		ssize_t n = pread(c->fd, p + got, (size_t)(c->len - got), got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			Py_DECREF(b);
			return n ? PyErr_SetFromErrno(PyExc_OSError)
			         : PyBytes_FromStringAndSize(NULL, 0);
		}
		got += n;
	}
	return b;
}

int command_done(struct engine *e, const struct prong_event *ev, PyObject *events)
{
	uint64_t id = (uint64_t)(uintptr_t)ev->tag - 1;
	e->ncommands--;
	PyObject *out = read_captured(&ev->result->out);
	PyObject *err = out ? read_captured(&ev->result->err) : NULL;
	PyObject *cert = err ? certificate(ev->result, NULL) : NULL;
	int r = !cert ? -1
	              : event_add(events, Py_BuildValue("(iKOOOI)", EV_COMMAND, (unsigned long long)id,
	                                           cert, out, err, ev->result->attempt));
	Py_XDECREF(out);
	Py_XDECREF(err);
	Py_XDECREF(cert);
	return r;
}

static char **words(PyObject *seq) /* of bytes; NULL: exception; the strings stay seq's */
{
	Py_ssize_t n = PyList_Size(seq);
	char **v = n < 0 ? NULL : PyMem_Calloc((size_t)n + 1, sizeof *v);
	for (Py_ssize_t i = 0; v && i < n; i++) {
		if (PyBytes_AsStringAndSize(PyList_GetItem(seq, i), &v[i], NULL) != 0) {
			PyMem_Free(v);
			return NULL;
		}
	}
	return v;
}

/* command(id, argv, env, cwd, out, err, timeout_ms, tries, stdin, backoff_ms, sweep) */
PyObject *engine_command(PyObject *self, PyObject *args, PyObject *kw)
{
	static char *names[] = { "id", "argv", "env", "cwd", "out", "err", "timeout_ms", "tries",
		                 "stdin", "backoff_ms", "out_fd", "err_fd", "termseq", NULL };
	struct engine *e = (struct engine *)self;
	unsigned long long id;
	PyObject *argv, *env = Py_None;
	const char *cwd = NULL, *termseq = NULL;
	int out = PRONG_FILE, err = PRONG_FILE, in = -1, out_fd = -1, err_fd = -1;
	unsigned tries = 1;
	long long timeout = 0, backoff = 0;
	if (!PyArg_ParseTupleAndKeywords(args, kw, "KO!|OziiLIiLiiz", names, &id, &PyList_Type,
	                                 &argv, &env, &cwd, &out, &err, &timeout, &tries, &in,
	                                 &backoff, &out_fd, &err_fd, &termseq) ||
	    engine_check(e) != 0)
		return NULL;
	char **av = words(argv), **ev = env != Py_None && av ? words(env) : NULL;
	int64_t r = -ENOMEM;
	if (av && (ev || env == Py_None) && engine_enter(e) == 0) {
		struct prong_stdio stdin_is = { .how = in >= 0 ? PRONG_FD : PRONG_NULL, .fd = in };
		r = prong_submit(e->pool, PRONG_SPEC(.argv = av, .env = ev, .cwd = cwd,
			.in = stdin_is, .out = { .how = out, .fd = out_fd },
			.err = { .how = err, .fd = err_fd }, .timeout_ms = timeout,
			.tries = tries, .backoff_ms = backoff, .flags = PRONG_NEW_SESSION,
			.termseq = termseq, .tag = (void *)(uintptr_t)(id + 1)));
		engine_leave(e);
	}
	PyMem_Free(av);
	PyMem_Free(ev);
	if (PyErr_Occurred())
		return NULL;
	if (r < 0) {
		engine_oserror((int)r);
		return NULL;
	}
	e->ncommands++;
	return PyLong_FromLongLong(r);
}

PyObject *engine_stop(PyObject *self, PyObject *arg)
{
	struct engine *e = (struct engine *)self;
	long long job = PyLong_AsLongLong(arg);
	if (PyErr_Occurred() || engine_check(e) != 0 || engine_enter(e) != 0)
		return NULL;
	int r = prong_stop(e->pool, job);
	engine_leave(e);
	return PyBool_FromLong(r == 0);
}
