/* module.c - the extension module _prong. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static PyObject *str_flush;

static void flush_one(const char *name)
{
	PyObject *f = PySys_GetObject(name);
	if (!f || f == Py_None)
		return;
	PyObject *r = PyObject_CallMethodObjArgs(f, str_flush, NULL);
	if (!r)
		PyErr_Clear();
	Py_XDECREF(r);
}

/* The exception that a task has just raised is not to be lost over it. */
void flush_streams(void)
{
	PyObject *t, *x, *tb;
	PyErr_Fetch(&t, &x, &tb);
	flush_one("stdout");
	flush_one("stderr");
	PyErr_Restore(t, x, tb);
}

static PyObject *mod_flush(PyObject *m, PyObject *no)
{
	(void)m, (void)no;
	flush_streams();
	fflush(NULL);
	Py_RETURN_NONE;
}


static PyObject *mod_blas_limit(PyObject *m, PyObject *arg)
{
	(void)m;
	long n = PyLong_AsLong(arg);
	return n == -1 && PyErr_Occurred() ? NULL : PyLong_FromLong(blas_limit((int)n));
}

static PyObject *mod_sweep(PyObject *m, PyObject *arg)
{
	(void)m;
	long pid = PyLong_AsLong(arg);
	if (PyErr_Occurred())
		return NULL;
	sweep_worker((pid_t)pid);
	Py_RETURN_NONE;
}

static PyObject *mod_openmp_used(PyObject *m, PyObject *no)
{
	(void)m, (void)no;
	return PyBool_FromLong(openmp_used);
}

/* fork(): as os.fork(), without its warning; the child is a group of its own, and killed when
 * we die. */
static PyObject *mod_fork(PyObject *m, PyObject *no)
{
	(void)m, (void)no;
	int e = guard_open();
	if (e != 0) {
		engine_oserror(e);
		return NULL;
	}
	look_for_openmp();
	PyOS_BeforeFork();
	quiet_fork();
	pid_t pid = fork();
	int err = errno;
	if (pid == 0) {
		setsid();
		guard_arm();
		PyOS_AfterFork_Child();
		return PyLong_FromLong(0);
	}
	PyOS_AfterFork_Parent();
	errno = err;
	return pid < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(pid);
}

static PyMethodDef methods[] = {
	{ "flush", mod_flush, METH_NOARGS, "flush(): sys.stdout, sys.stderr, all of C's streams" },
	{ "blas_limit", mod_blas_limit, METH_O, "blas_limit(n): threads of BLAS and OpenMP" },
	{ "template_serve", template_serve, METH_VARARGS, "the template's life" },
	{ "openmp_used", mod_openmp_used, METH_NOARGS, "openmp_used(): before a fork, by us" },
	{ "sweep", mod_sweep, METH_O, "sweep(pid): end what a child of fork() has started" },
	{ "equip", mod_equip, METH_VARARGS, "equip(future, condition): see there" },
	{ "fork", mod_fork, METH_NOARGS, "fork(): 0 in the child, else its pid" },
	{ NULL, NULL, 0, NULL }
};

static struct PyModuleDef def = {
	PyModuleDef_HEAD_INIT, .m_name = "_prong", .m_size = -1, .m_methods = methods,
	.m_doc = "The part of prong that is written in C; internal."
};

PyMODINIT_FUNC PyInit__prong(void)
{
	PyObject *m = PyModule_Create(&def);
	PyObject *t = m ? PyType_FromSpec(&engine_spec) : NULL;
	str_flush = PyUnicode_InternFromString("flush");
	if (!t || !str_flush || PyModule_AddObjectRef(m, "Engine", t) != 0 ||
	    PyModule_AddIntConstant(m, "STAR", ENGINE_STAR) != 0 ||
	    PyModule_AddIntConstant(m, "INDEXED", ENGINE_INDEXED) != 0 ||
	    PyModule_AddIntConstant(m, "TIMED", ENGINE_TIMED) != 0 ||
	    PyModule_AddIntConstant(m, "AUTOQUIT", ENGINE_AUTOQUIT) != 0 ||
	    PyModule_AddIntConstant(m, "FLUSH", ENGINE_FLUSH) != 0 ||
	    PyModule_AddIntConstant(m, "FORKS", ENGINE_FORKS) != 0 ||
	    PyModule_AddIntConstant(m, "TEE", ENGINE_TEE) != 0)
		Py_CLEAR(m);
	Py_XDECREF(t);
	return m;
}
