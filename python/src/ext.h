/* ext.h - what the files of the extension share.
 *
 * Everything here runs under the GIL unless a comment says otherwise; the GIL is what keeps
 * two threads out of one engine.  Limited API 3.11: a function it lacks must not compile. */
#ifndef PRONG_EXT_H
#define PRONG_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "prong.h"

#include <stdatomic.h>
#include <stdbool.h>

/* ---- ring.c: a byte ring in shared memory, one writer, one reader ---- */

enum { CACHE_LINE = 64 };

/* Positions only grow; the byte of position p is at p % size.  Each on a line of its own. */
struct ring_pos {
	_Alignas(CACHE_LINE) _Atomic uint64_t head; /* the writer's: bytes published */
	_Alignas(CACHE_LINE) _Atomic uint64_t tail; /* the reader's: bytes taken */
};
/* One process's view of a ring.  The data is mapped twice in a row, so that whatever
 * does not exceed the size is contiguous. */
struct ring {
	struct ring_pos *pos;
	unsigned char *data;
	size_t size;
	int fd; /* kept for workers of the template; else closed */
};
int ring_map(struct ring *r, size_t size); /* 0 or -errno; pos and fd are the caller's to set */
int ring_file(size_t size); /* the same in two steps; a descriptor or -errno */
int ring_map_file(struct ring *r, size_t size, int fd);
void ring_unmap(struct ring *r);

static inline unsigned char *ring_at(const struct ring *r, uint64_t pos)
{
	return r->data + (pos & (r->size - 1));
}
static inline size_t ring_used(const struct ring *r)
{
	return (size_t)(atomic_load_explicit(&r->pos->head, memory_order_acquire) -
	                atomic_load_explicit(&r->pos->tail, memory_order_relaxed));
}
static inline size_t ring_free(const struct ring *r)
{
	return r->size - (size_t)(atomic_load_explicit(&r->pos->head, memory_order_relaxed) -
	                          atomic_load_explicit(&r->pos->tail, memory_order_acquire));
}

int64_t now_ns(void);
void relax(void); /* one pause of a spin */
void sleep_on(_Atomic uint32_t *word, uint32_t seen, int64_t ns); /* futex; ns < 0: for ever */
void wake_all(_Atomic uint32_t *word);

/* ---- codec.c: Python objects <-> bytes ---- */

enum tag {
	TAG_NONE, TAG_TRUE, TAG_FALSE, TAG_INT, TAG_FLOAT, TAG_STR, TAG_BYTES, TAG_BYTEARRAY,
	TAG_PICKLE, /* u64 pickle length, nbuf u64 buffer lengths, the pickle, the buffers */
	TAG_CALL,   /* call.c */
	TAG_RAW     /* no object: what the kind says */
};
#define BUF_BYTES (UINT64_C(1) << 63) /* in a buffer's length: it was a bytes object */

struct header {
	uint64_t id, len; /* len: bytes of the body, without the padding to 8 */
	uint8_t tag, kind;
	uint16_t more;
	_Atomic uint32_t state; /* of a request, see channel.h; in a pickle's own copy: nbuf */
	uint64_t nbuf;
};
/* A result that is a number, True, False or None: most of what map() carries. */
struct compact {
	uint64_t id; /* COMPACT, the tag, the id */
	int64_t num; /* or the bits of a double */
};
#define COMPACT (UINT64_C(1) << 63)
#define COMPACT_SHIFT 56
#define COMPACT_ID ((UINT64_C(1) << COMPACT_SHIFT) - 1)
static inline size_t padded(uint64_t len)
{
	return (size_t)((len + 7) & ~UINT64_C(7));
}

struct seg {
	const void *p;
	size_t n;
};
/* An encoded object: segments that point into what it keeps alive. */
struct value {
	uint64_t len, nbuf;
	int tag;
	unsigned nseg;
	struct seg *seg, few[2];
	union {
		int64_t i;
		double d;
	} num;
	uint64_t *lens;
	PyObject *owner, *buffers; /* the pickle or the object; a list of what .raw() gave */
	Py_buffer *views;
};
int value_encode(struct value *v, PyObject *obj); /* -1: a Python exception is set */
int value_own(struct value *v, PyObject *obj); /* copies what its owner may change; -1: exception */
void value_release(struct value *v);

/* From a whole body in memory.  NULL: an exception is set. */
PyObject *value_decode(int tag, uint64_t nbuf, const unsigned char *body, uint64_t len);

/* A body that arrives in pieces, because no ring holds it. */
struct inflow {
	struct header h;
	bool active;
	uint64_t got;        /* of the part that is being filled */
	unsigned part;       /* 0: lengths, 1: pickle or the only object, 2..: buffers */
	uint64_t *lens;
	PyObject **objs;     /* destinations: 0 for part 1, then one for each buffer */
	unsigned char *at;   /* where the current part is written */
	uint64_t want, left; /* left: of the whole body; the caller's */
	bool failed;
};
int inflow_begin(struct inflow *f, const struct header *h);
/* Takes up to n bytes; returns how many, -1 on an exception. */
Py_ssize_t inflow_take(struct inflow *f, const unsigned char *p, size_t n);
PyObject *inflow_finish(struct inflow *f); /* decode and reset */
void inflow_drop(struct inflow *f);

PyObject *object_buffer(int as_bytes, size_t len, unsigned char **at);

/* ---- call.c: calls of global functions with plain arguments ---- */

enum { CALL_BODY = 1024 };
/* Into so many bytes: how many it took; 0 without an exception: pickle must do it. */
size_t call_encode(unsigned char *body, PyObject *f, PyObject *args, PyObject *kwargs);
PyObject *call_decode(const unsigned char *body); /* (f, args, None) */

/* ---- pages.c ---- */
void advise_huge(void *p, size_t n); /* before it is touched; if n is big */
void use_huge_pages(void); /* for all big objects of this process from now on */

/* ---- worker.c ---- */
int worker_main(void *worker, int result_fd); /* libprong's spec.fn */

/* ---- guard.c: no worker outlives its parent ---- */
int guard_open(void);  /* in the parent, before forking; 0 or -errno */
void guard_arm(void);  /* in the worker: it and all below it end when the parent is gone */

/* ---- sweep.c: what a worker has started ---- */
void sweep_worker(pid_t pid);  /* end it; the worker then stands still, to be killed */
void sweep_and_die(int sig);   /* a signal handler: end it, and us */

/* ---- quiet.c: other threads at a fork ---- */
extern bool openmp_used; /* GNU OpenMP had threads: more than one cannot be used in a child */
void look_for_openmp(void);
void quiet_fork(void);

/* ---- blas.c ---- */
int blas_limit(int threads); /* of the libraries loaded now; how many listened */


/* ---- module.c ---- */

void flush_streams(void); /* sys.stdout and sys.stderr; errors are dropped */

#endif
