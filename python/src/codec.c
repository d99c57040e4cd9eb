/* codec.c - Python objects to bytes and back: numbers and strings by hand, the rest by pickle
 * protocol 5, whose big buffers travel beside the pickle and are copied once. */
#include "ext.h"

#include <string.h>

enum { OOB_MIN = 16 * 1024 };

static PyObject *dumps, *loads, *pickle_buffer, *kw_names[2], *proto5;

static int load_pickle(void)
{
	if (dumps)
		return 0;
	PyObject *m = PyImport_ImportModule("pickle");
	if (!m)
		return -1;
	loads = PyObject_GetAttrString(m, "loads");
	pickle_buffer = PyObject_GetAttrString(m, "PickleBuffer");
	proto5 = PyLong_FromLong(5);
	kw_names[0] = PyUnicode_InternFromString("buffer_callback");
	kw_names[1] = PyUnicode_InternFromString("buffers");
	PyObject *d = PyObject_GetAttrString(m, "dumps");
	Py_DECREF(m);
	if (!loads || !pickle_buffer || !proto5 || !kw_names[0] || !kw_names[1] || !d)
		return -1;
	dumps = d;
	return 0;
}

/* ---- encode ---- */

static int one_seg(struct value *v, int tag, const void *p, size_t n)
{
	v->tag = tag;
	v->seg = v->few;
	v->nseg = n ? 1 : 0;
	v->few[0] = (struct seg){ p, n };
	v->len = n;
	return 0;
}

/* Called by the pickler with each PickleBuffer: true keeps it inside the pickle. */
static PyObject *keep_buffer(PyObject *list, PyObject *buf)
{
	Py_buffer b;
	PyObject *raw;
	if (PyObject_GetBuffer(buf, &b, PyBUF_SIMPLE) == 0) {
		Py_ssize_t len = b.len;
		PyBuffer_Release(&b);
		if (len < OOB_MIN)
			Py_RETURN_TRUE;
		raw = Py_NewRef(buf);
	} else {
		PyErr_Clear(); /* contiguous in Fortran's way: .raw() is plain bytes */
		raw = PyObject_CallMethod(buf, "raw", NULL);
	}
	int e = raw ? PyList_Append(list, raw) : -1;
	Py_XDECREF(raw);
	if (e != 0)
		return NULL;
	Py_RETURN_NONE;
}
static PyMethodDef keep_buffer_def = { "keep_buffer", keep_buffer, METH_O, NULL };

static PyObject *do_dumps(PyObject *obj, PyObject *list)
{
	PyObject *kw = PyDict_New(), *args = PyTuple_Pack(2, obj, proto5), *r = NULL;
	PyObject *cb = PyCFunction_NewEx(&keep_buffer_def, list, NULL);
	if (kw && args && cb && PyDict_SetItem(kw, kw_names[0], cb) == 0)
		r = PyObject_Call(dumps, args, kw);
	Py_XDECREF(cb);
	Py_XDECREF(args);
	Py_XDECREF(kw);
	return r;
}

static int add_views(struct value *v)
{
	Py_ssize_t n = PyList_Size(v->buffers);
	v->seg = PyMem_Calloc((size_t)n + 2, sizeof *v->seg);
	v->lens = PyMem_Calloc((size_t)n + 1, sizeof *v->lens);
	v->views = n ? PyMem_Calloc((size_t)n, sizeof *v->views) : NULL;
	if (!v->seg || !v->lens || (n && !v->views)) {
		PyErr_NoMemory();
		return -1;
	}
	for (Py_ssize_t i = 0; i < n; i++) {
		if (PyObject_GetBuffer(PyList_GetItem(v->buffers, i), &v->views[i],
		                       PyBUF_SIMPLE) != 0)
			return -1;
		v->nbuf++;
		size_t len = (size_t)v->views[i].len;
		/* a bytes object comes back as one */
		v->lens[i + 1] = len | (PyBytes_CheckExact(v->views[i].obj) ? BUF_BYTES : 0);
		v->seg[i + 2] = (struct seg){ v->views[i].buf, len };
		v->len += len;
	}
	return 0;
}

static int encode_pickle(struct value *v, PyObject *obj)
{
	char *p;
	Py_ssize_t n;
	if (load_pickle() != 0)
		return -1;
	v->tag = TAG_PICKLE;
	v->buffers = PyList_New(0);
	v->owner = v->buffers ? do_dumps(obj, v->buffers) : NULL;
	if (!v->owner || PyBytes_AsStringAndSize(v->owner, &p, &n) != 0 || add_views(v) != 0)
		return -1;
	v->lens[0] = (uint64_t)n;
	v->seg[0] = (struct seg){ v->lens, (v->nbuf + 1) * sizeof *v->lens };
	v->seg[1] = (struct seg){ p, (size_t)n };
	v->nseg = (unsigned)v->nbuf + 2;
	v->len += v->seg[0].n + v->seg[1].n;
	return 0;
}

static bool big_bytes(PyObject *o)
{
	return PyBytes_CheckExact(o) && PyBytes_Size(o) >= OOB_MIN;
}

/* A copy of a tuple in which big bytes objects are PickleBuffers of themselves: pickle would
 * copy them.  The same object, with a reference, if there are none. */
static PyObject *wrap_bytes(PyObject *t)
{
	Py_ssize_t n = PyTuple_Size(t), i = 0;
	while (i < n && !big_bytes(PyTuple_GetItem(t, i)))
		i++;
	if (i == n || load_pickle() != 0)
		return Py_NewRef(t);
	PyObject *r = PyTuple_New(n);
	for (i = 0; r && i < n; i++) {
		PyObject *o = PyTuple_GetItem(t, i);
		o = big_bytes(o) ? PyObject_CallFunctionObjArgs(pickle_buffer, o, NULL)
		                 : Py_NewRef(o);
		if (!o || PyTuple_SetItem(r, i, o) != 0)
			Py_CLEAR(r);
	}
	return r;
}

/* (f, args, kwargs) has its big things one level down. */
static PyObject *wrap_call(PyObject *t)
{
	PyObject *args = PyTuple_Size(t) == 3 ? PyTuple_GetItem(t, 1) : NULL;
	if (!args || !PyTuple_CheckExact(args))
		return wrap_bytes(t);
	PyObject *wrapped = wrap_bytes(args);
	if (wrapped == args || !wrapped) {
		Py_XDECREF(wrapped);
		return wrapped ? wrap_bytes(t) : NULL;
	}
	PyObject *r = PyTuple_Pack(3, PyTuple_GetItem(t, 0), wrapped, PyTuple_GetItem(t, 2));
	Py_DECREF(wrapped);
	return r;
}

static int encode_int(struct value *v, PyObject *obj)
{
	int over;
	v->num.i = PyLong_AsLongLongAndOverflow(obj, &over);
	return over ? encode_pickle(v, obj) : one_seg(v, TAG_INT, &v->num.i, 8);
}

int value_encode(struct value *v, PyObject *obj)
{
	*v = (struct value){ 0 };
	PyTypeObject *t = Py_TYPE(obj);
	if (obj == Py_None)
		return one_seg(v, TAG_NONE, NULL, 0);
	if (t == &PyLong_Type)
		return encode_int(v, obj);
	if (t == &PyFloat_Type) {
		v->num.d = PyFloat_AsDouble(obj);
		return one_seg(v, TAG_FLOAT, &v->num.d, 8);
	}
	if (t == &PyBool_Type)
		return one_seg(v, obj == Py_True ? TAG_TRUE : TAG_FALSE, NULL, 0);
	if (t == &PyUnicode_Type) {
		Py_ssize_t n;
		const char *s = PyUnicode_AsUTF8AndSize(obj, &n);
		if (s) {
			v->owner = Py_NewRef(obj);
			return one_seg(v, TAG_STR, s, (size_t)n);
		}
		PyErr_Clear(); /* lone surrogates */
	}
	if (t == &PyBytes_Type || t == &PyByteArray_Type) {
		bool b = t == &PyBytes_Type;
		v->owner = Py_NewRef(obj);
		return one_seg(v, b ? TAG_BYTES : TAG_BYTEARRAY,
		               b ? PyBytes_AsString(obj) : PyByteArray_AsString(obj),
		               (size_t)(b ? PyBytes_Size(obj) : PyByteArray_Size(obj)));
	}
	if (t != &PyTuple_Type)
		return encode_pickle(v, obj);
	obj = wrap_call(obj);
	int e = obj ? encode_pickle(v, obj) : -1;
	Py_XDECREF(obj);
	return e;
}

/* What is sent later must not change meanwhile, nor go away as a bytearray's memory does. */
int value_own(struct value *v, PyObject *obj)
{
	if (v->tag == TAG_BYTEARRAY) {
		PyObject *copy = PyBytes_FromObject(obj);
		if (!copy)
			return -1;
		Py_DECREF(v->owner);
		v->owner = copy;
		v->seg[0].p = PyBytes_AsString(copy);
	}
	for (uint64_t i = 0; i < v->nbuf; i++) {
		if (v->views[i].readonly)
			continue;
		PyObject *copy = PyBytes_FromStringAndSize(v->views[i].buf, v->views[i].len);
		if (!copy)
			return -1;
		PyBuffer_Release(&v->views[i]);
		int e = PyObject_GetBuffer(copy, &v->views[i], PyBUF_SIMPLE);
		Py_DECREF(copy);
		if (e != 0)
			return -1;
		v->seg[i + 2].p = v->views[i].buf;
	}
	return 0;
}

void value_release(struct value *v)
{
	for (uint64_t i = 0; i < v->nbuf; i++)
		PyBuffer_Release(&v->views[i]);
	if (v->seg != v->few)
		PyMem_Free(v->seg);
	PyMem_Free(v->views);
	PyMem_Free(v->lens);
	Py_CLEAR(v->owner);
	Py_CLEAR(v->buffers);
	v->seg = NULL;
	v->views = NULL;
	v->lens = NULL;
	v->nbuf = v->nseg = 0;
}

/* ---- decode ---- */

PyObject *object_buffer(int as_bytes, size_t len, unsigned char **at)
{
	PyObject *o = as_bytes ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len)
	                       : PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)len);
	if (o) {
		*at = (unsigned char *)(as_bytes ? PyBytes_AsString(o) : PyByteArray_AsString(o));
		advise_huge(*at, len);
	}
	return o;
}

static PyObject *do_loads(PyObject *pickle, PyObject *buffers)
{
	if (load_pickle() != 0)
		return NULL;
	if (!buffers)
		return PyObject_CallFunctionObjArgs(loads, pickle, NULL);
	PyObject *args = PyTuple_Pack(1, pickle), *kw = PyDict_New(), *r = NULL;
	if (args && kw && PyDict_SetItem(kw, kw_names[1], buffers) == 0)
		r = PyObject_Call(loads, args, kw);
	Py_XDECREF(args);
	Py_XDECREF(kw);
	return r;
}

static PyObject *copy_buffers(uint64_t nbuf, const uint64_t *lens, const unsigned char *p)
{
	PyObject *list = PyList_New((Py_ssize_t)nbuf);
	for (uint64_t i = 0; list && i < nbuf; i++) {
		unsigned char *at;
		size_t n = (size_t)(lens[i] & ~BUF_BYTES);
		PyObject *o = object_buffer(lens[i] & BUF_BYTES ? 1 : 0, n, &at);
		if (o)
			memcpy(at, p, n);
		p += n;
		if (!o || PyList_SetItem(list, (Py_ssize_t)i, o) != 0)
			Py_CLEAR(list);
	}
	return list;
}

static PyObject *decode_pickle(uint64_t nbuf, const unsigned char *body)
{
	const uint64_t *lens = (const void *)body;
	const unsigned char *p = body + (nbuf + 1) * sizeof *lens;
	/* the pickle may point nowhere into the ring afterwards: loads copies what it keeps */
	PyObject *pickle = PyMemoryView_FromMemory((char *)(uintptr_t)p, (Py_ssize_t)lens[0],
	                                           PyBUF_READ);
	PyObject *bufs = nbuf && pickle ? copy_buffers(nbuf, lens + 1, p + lens[0]) : NULL;
	PyObject *r = pickle && (bufs || !nbuf) ? do_loads(pickle, bufs) : NULL;
	Py_XDECREF(bufs);
	Py_XDECREF(pickle);
	return r;
}

PyObject *value_decode(int tag, uint64_t nbuf, const unsigned char *body, uint64_t len)
{
	int64_t i;
	double d;
	switch ((enum tag)tag) {
	case TAG_NONE:
		Py_RETURN_NONE;
	case TAG_TRUE:
		Py_RETURN_TRUE;
	case TAG_FALSE:
		Py_RETURN_FALSE;
	case TAG_INT:
		memcpy(&i, body, sizeof i);
		return PyLong_FromLongLong(i);
	case TAG_FLOAT:
		memcpy(&d, body, sizeof d);
		return PyFloat_FromDouble(d);
	case TAG_STR:
		return PyUnicode_FromStringAndSize((const char *)body, (Py_ssize_t)len);
	case TAG_BYTES:
		return PyBytes_FromStringAndSize((const char *)body, (Py_ssize_t)len);
	case TAG_BYTEARRAY:
		return PyByteArray_FromStringAndSize((const char *)body, (Py_ssize_t)len);
	case TAG_PICKLE:
		return decode_pickle(nbuf, body);
	case TAG_CALL:
		return call_decode(body);
	case TAG_RAW:
		break;
	}
	PyErr_SetString(PyExc_SystemError, "prong: unknown tag in a message");
	return NULL;
}

/* ---- in pieces ---- */

static int begin_part(struct inflow *f)
{
	f->got = 0;
	if (f->part == 0) {
		f->want = (f->h.nbuf + 1) * sizeof *f->lens;
		f->at = (unsigned char *)f->lens;
		return 0;
	}
	uint64_t n = f->h.tag == TAG_PICKLE ? f->lens[f->part - 1] : f->h.len;
	bool bytes = f->h.tag != TAG_BYTEARRAY && (f->part == 1 || (n & BUF_BYTES));
	f->want = n & ~BUF_BYTES;
	f->objs[f->part - 1] = object_buffer(bytes, (size_t)f->want, &f->at);
	return f->objs[f->part - 1] ? 0 : -1;
}

int inflow_begin(struct inflow *f, const struct header *h)
{
	*f = (struct inflow){ .h = *h, .active = true };
	f->objs = PyMem_Calloc((size_t)h->nbuf + 1, sizeof *f->objs);
	f->lens = PyMem_Calloc((size_t)h->nbuf + 1, sizeof *f->lens);
	f->part = h->tag == TAG_PICKLE ? 0 : 1;
	if (!f->objs || !f->lens)
		PyErr_NoMemory();
	else if (begin_part(f) == 0)
		return 0;
	inflow_drop(f);
	return -1;
}

static bool inflow_complete(const struct inflow *f)
{
	return f->active && f->part == f->h.nbuf + 1 && f->got == f->want;
}

Py_ssize_t inflow_take(struct inflow *f, const unsigned char *p, size_t n)
{
	size_t took = 0;
	while (!inflow_complete(f)) {
		if (f->got == f->want) {
			f->part++;
			if (begin_part(f) != 0)
				return -1;
			continue;
		}
		size_t k = (size_t)(f->want - f->got) < n - took ? (size_t)(f->want - f->got) : n - took;
		if (!k)
			break;
		memcpy(f->at + f->got, p + took, k);
		f->got += k;
		took += k;
	}
	return (Py_ssize_t)took;
}

static PyObject *finish_pickle(struct inflow *f)
{
	PyObject *list = f->h.nbuf ? PyList_New((Py_ssize_t)f->h.nbuf) : NULL;
	if (f->h.nbuf && !list)
		return NULL;
	for (uint64_t i = 0; i < f->h.nbuf; i++) {
		PyList_SetItem(list, (Py_ssize_t)i, f->objs[i + 1]);
		f->objs[i + 1] = NULL;
	}
	PyObject *r = do_loads(f->objs[0], list);
	Py_XDECREF(list);
	return r;
}

PyObject *inflow_finish(struct inflow *f)
{
	PyObject *r = NULL;
	if (f->h.tag == TAG_PICKLE) {
		r = finish_pickle(f);
	} else if (f->h.tag == TAG_STR) {
		char *s;
		Py_ssize_t n;
		if (PyBytes_AsStringAndSize(f->objs[0], &s, &n) == 0)
			r = PyUnicode_FromStringAndSize(s, n);
	} else {
		r = Py_NewRef(f->objs[0]);
	}
	inflow_drop(f);
	return r;
}

void inflow_drop(struct inflow *f)
{
	for (uint64_t i = 0; f->objs && i <= f->h.nbuf; i++)
		Py_XDECREF(f->objs[i]);
	PyMem_Free(f->objs);
	PyMem_Free(f->lens);
	*f = (struct inflow){ 0 };
}
