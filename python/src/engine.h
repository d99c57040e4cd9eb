/* engine.h - the parent's side and what it shares with workers. */
#ifndef PRONG_ENGINE_H
#define PRONG_ENGINE_H

#include "ext.h"

#include <pthread.h>
#include <structmember.h>

/* ---- what parent and worker share ---- */

enum { REQ_SIZE = 512 * 1024, REP_SIZE = 1024 * 1024 };

enum request_kind {
	ASK_ITEM,  /* fn(item) */
	ASK_CALL,  /* (f, args, kwargs): f(*args, **kwargs) */
	ASK_RANGE  /* items id..value of the inherited sequences */
};
enum reply_kind { SAY_RESULT, SAY_ERROR, SAY_INIT_FAILED,
	          SAY_UNREADABLE /* the request cannot be rebuilt here */ };
#define SAY_LAST 1 /* header.more: a request is answered with this */
/* Of a request in a ring: the worker takes it, or the parent takes it back. */
enum request_state { REQ_READY, REQ_TAKEN, REQ_REVOKED };
/* The worker goes from BUSY to IDLE, the parent from BUSY to KILLED: whoever is first.  So a
 * kill meant for one task never hits the next. */
enum task_state { TASK_NONE, TASK_IDLE, TASK_BUSY, TASK_KILLED };

/* All workers of an engine. */
struct common {
	_Alignas(CACHE_LINE) _Atomic uint64_t next; /* the next item nobody has claimed */
	_Alignas(CACHE_LINE) _Atomic uint64_t limit; /* items below may be claimed */
	_Alignas(CACHE_LINE) _Atomic uint32_t awake; /* threads of the parent that look by themselves */
	_Atomic uint32_t armed;  /* the parent sleeps: ring the bell (once) */
};
/* One worker. */
struct ctl {
	_Alignas(CACHE_LINE) _Atomic uint32_t wake; /* futex; every wake-up bumps it */
	_Atomic uint32_t quit, wants_space;
	_Alignas(CACHE_LINE) _Atomic uint64_t task; /* its task: id * 4 + enum task_state */
	_Atomic uint64_t from, to; /* the items it claimed last */
	_Atomic int64_t since;  /* CLOCK_MONOTONIC at which it began; only if the engine asks */
	_Atomic uint32_t asleep;
	_Atomic uint64_t pace;  /* nanoseconds of its tasks lately; 0: not known */
	_Atomic int64_t began;  /* its last request */
	_Atomic uint64_t answered; /* requests */
	struct ring_pos req, rep;
};


enum engine_flag {
	ENGINE_STAR = 1,     /* items are tuples of arguments */
	ENGINE_INDEXED = 2,  /* the function gets the item's id first */
	ENGINE_TIMED = 4,    /* note when each task begins */
	ENGINE_AUTOQUIT = 8, /* a worker ends when there is nothing left to claim */
	ENGINE_FLUSH = 16,   /* flush Python's streams after each request */
	ENGINE_FORKS = 64,   /* fork_task() may be used */
	ENGINE_TEE = 32      /* stderr through the parent, which remembers the last lines */
};

/* A request that no ring holds yet. */
struct msg {
	struct msg *next;
	struct header h;
	bool big;             /* does not fit a ring: value is the body, else bytes is */
	struct value value;
	_Alignas(8) unsigned char bytes[];
};
struct engine;

struct worker {
	struct engine *eng;
	unsigned index;
	int64_t job;  /* libprong's id; 0: no process */
	pid_t pid;
	struct ctl *_Atomic ctl; /* NULL: nothing is mapped */
	struct ring req, rep;
	struct inflow in;
	struct msg *out;    /* too big for the ring: going out in pieces */
	unsigned out_seg;
	size_t out_off;
	uint64_t asked;      /* position after the last request */
	uint64_t stream_end; /* position after the last one that came in pieces */
	uint64_t tasks;      /* handed to this process */
	uint64_t given;      /* requests that stay with it */
	bool single;         /* forked for one task, with what no pickle could bring */
	uint64_t single_id;
	bool stuck;          /* at one task for a while, while others have nothing */
	uint64_t looked_answered;
	int64_t looked_at;
	bool ended;          /* its init failed, or it said good-bye */
	int reason;          /* enum kill_reason */
	bool kill_due;       /* another thread was in libprong */
	char tail[4096];    /* of stderr */
	size_t ntail;
	uint64_t last_reply; /* its id + 1 */
	/* of the template only; -1: none */
	int ctl_fd, payload_fd, err_rd, err_wr;
	bool begun; /* the template has forked it */
};

enum kill_reason { KILL_NOT, KILL_TIMEOUT, KILL_CANCEL };

struct engine {
	PyObject_HEAD
	struct prong *pool;
	int pool_fd, bell;
	pid_t owner;
	unsigned generation; /* forks since, see engine_inherited() */
	unsigned nseats, nworkers; /* nworkers: with those for single tasks, as many */
	unsigned live, singles;    /* processes: standing, and for single tasks */
	struct worker *workers;
	struct common *common;
	unsigned char *seen;     /* a bit for each item that has its result */
	PyObject *entry, *seqs;
	PyObject *fn;            /* in a worker: what entry gave */
	uint64_t total;
	long long chunk;         /* 0: by the clock */
	unsigned flags, window;  /* requests ahead in one worker's ring */
	double timeout;          /* seconds of one task; 0: none */
	unsigned long long max_tasks, max_rss_kb; /* of one worker process; 0: any */
	PyObject *futures;       /* {id: Future} of an executor, see future.c */
	PyObject *trash;         /* a list of what is to be freed when nothing is under way */
	PyObject *kept;          /* events of a poll() that was interrupted */
	bool busy, closed, spin_good, accepting, served;
	bool shut_due;           /* closed in the midst of a turn, which then ends it all */
	pthread_t turner;        /* while busy: who is */
	unsigned long long told; /* of `done`, before the last sleep */
	bool long_nap;           /* a thread sleeps, for longer than LOOK_MS */
	bool woken;              /* poll() returns for it, once */
	bool in_pool;            /* a thread is in libprong: its fork hooks may give the GIL away */
	pthread_t inside;        /* which */
	unsigned sleepers;       /* threads that look at the maps without the GIL */
	int template_fd;         /* workers are forked by the template; -1: by us */
	int common_fd, payload_fd; /* of the template only: what workers map; their entry, pickled */
	PyObject *std;           /* the same: a pair (stdout, stderr) for each worker, or NULL */
	struct msg *head, *last; /* waiting requests */
	unsigned long long nqueued, ncommands, done;
};

/* An event is a tuple: (kind, id, ...). */
enum event_kind { EV_RESULT, EV_ERROR, EV_DIED, EV_INIT_FAILED, EV_BAD, EV_COMMAND,
	          EV_ENDED, /* a worker ended in peace */
	          EV_UNREADABLE };

extern PyType_Spec engine_spec;


bool engine_inherited(const struct engine *e); /* by a fork */
int engine_check(struct engine *e);     /* -1: closed, or inherited by a fork */
int engine_oserror(int e);              /* raise it; -1 */
int engine_enter(struct engine *e);     /* before a call of libprong; -1: exception */
void engine_leave(struct engine *e);    /* after it */

static inline uint64_t worker_pending(const struct worker *w)
{
	return w->given - atomic_load(&w->ctl->answered);
}
unsigned engine_active(const struct engine *e); /* workers that have a task */

enum { AHEAD_NS = 100000, LOOK_MS = 2 }; /* work that is worth no second worker */

/* ---- queue.c ---- */
void queue_look(struct engine *e);
bool queue_uneven(const struct engine *e); /* one has requests to spare, another none */
void engine_dispatch(struct engine *e); /* waiting requests to workers' rings */
void worker_ring(struct worker *w);     /* wake it if it sleeps */
void worker_requeue(struct worker *w);  /* what it has not taken goes back to the queue */
int queue_range(struct engine *e, uint64_t a, uint64_t b);
PyObject *engine_put(PyObject *self, PyObject *args);
PyObject *engine_call(PyObject *self, PyObject *args);
PyObject *engine_submit(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *engine_range(PyObject *self, PyObject *args);
PyObject *engine_revoke(PyObject *self, PyObject *id);
PyObject *engine_limit(PyObject *self, PyObject *n);
PyObject *engine_work(PyObject *self, PyObject *no);
PyObject *engine_quit(PyObject *self, PyObject *no);

/* ---- start.c ---- */
pid_t fork_python(void *no); /* libprong's options.fork */
void *shared(size_t n);      /* memory that children share; NULL: errno */
PyObject *engine_start(PyObject *self, PyObject *n);
PyObject *engine_fork_task(PyObject *self, PyObject *args);

/* ---- sleep.c ---- */
PyObject *engine_spin(PyObject *self, PyObject *us);
PyObject *engine_poll(PyObject *self, PyObject *args);
PyObject *engine_take(PyObject *self, PyObject *no);

/* ---- kill.c ---- */
void kill_overdue(struct engine *e);
void engine_kill_due(struct engine *e); /* what could not be killed at once */
PyObject *engine_kill(PyObject *self, PyObject *args);
PyObject *engine_running(PyObject *self, PyObject *id);

/* ---- command.c ---- */
int command_done(struct engine *e, const struct prong_event *ev, PyObject *events);
PyObject *engine_command(PyObject *self, PyObject *args, PyObject *kw);
PyObject *engine_stop(PyObject *self, PyObject *id);

/* ---- future.c ---- */
int future_finish(struct engine *e, uint64_t id, PyObject *result); /* 1: done; 0: not plain */
void future_trash(struct engine *e); /* free what the last ones left, when not busy */
PyObject *mod_equip(PyObject *m, PyObject *args);

/* ---- collect.c ---- */
int event_add(PyObject *events, PyObject *event); /* takes the event; NULL: an exception is set */
PyObject *certificate(const struct prong_result *r, const struct worker *w);
int engine_turn(struct engine *e, PyObject *events, PyObject *sink); /* -1: exception */
int engine_drain(struct engine *e, PyObject *events); /* replies only */
void engine_shut(struct engine *e); /* engine.c */
bool engine_busy(const struct engine *e); /* anything that may bring an event */
PyObject *engine_wake(PyObject *self, PyObject *no);
PyObject *engine_pids(PyObject *self, PyObject *no);
extern PyMemberDef engine_members[];
void worker_remember(struct worker *w, const char *p, size_t n); /* it wrote this to stderr */

/* ---- template.c ---- */
int template_share(size_t n, void **at);
int template_payload(PyObject *bytes);
void template_none(struct worker *w);
int template_prepare(struct worker *w, bool tee);
void template_read(struct worker *w);
void template_bury(struct worker *w);
void template_unmap(struct worker *w);
pid_t template_fork(void *engine);
PyObject *template_serve(PyObject *m, PyObject *args);

#endif
