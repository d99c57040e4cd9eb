/* future.c - futures of an executor that get their result without a step of the interpreter. */
#include "engine.h"

static struct {
	PyObject *plain, *result, *state, *call, *condition, *waiters, *callbacks, *finished;
} names;

static int load_names(void)
{
	PyObject *m = PyImport_ImportModule("concurrent.futures._base");
	PyObject *f = m ? PyObject_GetAttrString(m, "FINISHED") : NULL;
	Py_XDECREF(m);
	names.plain = PyUnicode_InternFromString("_plain");
	names.result = PyUnicode_InternFromString("_result");
	names.state = PyUnicode_InternFromString("_state");
	names.call = PyUnicode_InternFromString("_call");
	names.condition = PyUnicode_InternFromString("_condition");
	names.waiters = PyUnicode_InternFromString("_waiters");
	names.callbacks = PyUnicode_InternFromString("_done_callbacks");
	if (!f || !names.plain || !names.result || !names.state || !names.call ||
	    !names.condition || !names.waiters || !names.callbacks) {
		Py_XDECREF(f);
		return -1;
	}
	names.finished = f;
	return 0;
}

/* A future that nobody has taken a lock of, or hung a callback or waiter on, gets its result
 * right here: under the GIL nobody can begin to meanwhile.  What it was called with is freed
 * later (it may have a destructor that comes back here).  1: done; 0: it takes its usual way. */
int future_finish(struct engine *e, uint64_t id, PyObject *obj)
{
	if (!names.finished && load_names() != 0)
		return -1;
	PyObject *key = PyLong_FromUnsignedLongLong(id);
	PyObject *f = key ? PyDict_GetItemWithError(e->futures, key) : NULL;
	int r = key && !PyErr_Occurred() ? 0 : -1;
	Py_XINCREF(f);
	PyObject *plain = f ? PyObject_GetAttr(f, names.plain) : NULL;
	PyObject *call = plain == Py_True ? PyObject_GetAttr(f, names.call) : NULL;
	if (f && !plain)
		r = -1;
	if (plain == Py_True) {
		r = call && PyList_Append(e->trash, call) == 0 &&
		    PyObject_SetAttr(f, names.call, Py_None) == 0 &&
		    PyObject_SetAttr(f, names.result, obj) == 0 &&
		    PyObject_SetAttr(f, names.state, names.finished) == 0 &&
		    PyDict_DelItem(e->futures, key) == 0 ? 1 : -1;
	} else if (!f && r == 0) {
		r = 1; /* cancelled */
	}
	Py_XDECREF(call);
	Py_XDECREF(plain);
	if (f && PyList_Append(e->trash, f) != 0) /* perhaps the last reference */
		r = -1;
	Py_XDECREF(f);
	Py_XDECREF(key);
	return r;
}

/* equip(future, condition): from now on the future has one and is finished in the usual way;
 * unless another thread was first. */
PyObject *mod_equip(PyObject *m, PyObject *args)
{
	PyObject *f, *condition;
	(void)m;
	if (!PyArg_ParseTuple(args, "OO", &f, &condition) || (!names.finished && load_names() != 0))
		return NULL;
	PyObject *waiters = PyList_New(0), *callbacks = PyList_New(0);
	PyObject *plain = waiters && callbacks ? PyObject_GetAttr(f, names.plain) : NULL;
	int r = plain ? 0 : -1;
	/* nothing here lets another thread in */
	if (plain == Py_True)
		r = PyObject_SetAttr(f, names.plain, Py_False) |
		    PyObject_SetAttr(f, names.waiters, waiters) |
		    PyObject_SetAttr(f, names.callbacks, callbacks) |
		    PyObject_SetAttr(f, names.condition, condition);
	Py_XDECREF(plain);
	Py_XDECREF(waiters);
	Py_XDECREF(callbacks);
	return r == 0 ? Py_NewRef(Py_None) : NULL;
}

void future_trash(struct engine *e)
{
	PyObject *old = e->trash;
	if (!old || !PyList_Size(old))
		return;
	e->trash = PyList_New(0);
	Py_DECREF(old);
}
