/* pool.h - what the pieces of the library share: jobs, slots, the pool.  Private. */
#ifndef LIB_POOL_H
#define LIB_POOL_H

#include "ev.h"

#include <errno.h>
#include <prong.h>
#include <stdbool.h>

#define countof(a) (sizeof(a) / sizeof(*(a)))
#define container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))
#define PR_NEVER INT64_MAX
#define PR_MS INT64_C(1000000) /* nanoseconds */
#define PR_MS_MAX (INT64_MAX / PR_MS / 4)

struct prong;
struct slot;

/* ---- timer.c: a binary heap of absolute deadlines (CLOCK_MONOTONIC nanoseconds) ---- */
struct timer {
	int64_t at;
	size_t pos; /* place in the heap, from 1; 0: not in it */
	void (*fire)(struct prong *p, struct timer *t);
};
struct timers {
	struct timer **heap;
	size_t n, cap;
};
int pr_timer_set(struct timers *ts, struct timer *t, int64_t at); /* 0 or -ENOMEM */
void pr_timer_cancel(struct timers *ts, struct timer *t);
int64_t pr_timer_next(const struct timers *ts); /* PR_NEVER if none */
int64_t pr_now(void); /* CLOCK_MONOTONIC nanoseconds */

/* ---- a job, one block of memory ---- */
enum job_state { JOB_WAITING, JOB_RUNNING, JOB_STOPPING, JOB_RESTING, JOB_DONE };

/* Of a task for a standing worker, one of very many, there is only the part before `seed`. */

struct job {
	struct job *prev, *next; /* in the list its state belongs to */
	int64_t id;
	void *tag; /* from here to tries: the spec's */
	int (*work)(struct prong_task *task);
	void *arg;
	const void *task;
	size_t task_len;
	int64_t timeout_ms, backoff_ms;
	const char *termseq;
	unsigned tries, attempt;
	enum job_state state;
	bool worker;   /* for a standing worker */
	bool here;     /* it failed to start on a pad: the next try is waited for */
	unsigned char block; /* its size, for reuse: of job.c */
	struct slot *slot; /* RUNNING, STOPPING */
	struct timer rest; /* RESTING: until then */
	uint64_t seed;
	struct prong_spec spec; /* pointers lead into this block */
};
struct job_list {
	struct job *head, *tail;
};

static inline void pr_list_add(struct job_list *l, struct job *j)
{
	j->next = NULL;
	j->prev = l->tail;
	*(l->tail ? &l->tail->next : &l->head) = j;
	l->tail = j;
}

/* At the front. */
static inline void pr_list_push(struct job_list *l, struct job *j)
{
	j->prev = NULL;
	j->next = l->head;
	*(l->head ? &l->head->prev : &l->tail) = j;
	l->head = j;
}

static inline void pr_list_del(struct job_list *l, struct job *j)
{
	*(j->prev ? &j->prev->next : &l->head) = j->next;
	*(j->next ? &j->next->prev : &l->tail) = j->prev;
	j->prev = j->next = NULL;
}

/* ---- capture.c: files that children write and hosts read ---- */
struct vessel {
	int fd;     /* -1: none */
	int own;    /* another open of it, for the child; -1: none, or given away already */
	bool owned; /* the child had one, so that a lease can prove the file unshared */
	bool clean; /* nobody else can write into it */
};
struct vessels {
	const char *dir;
	struct vessel *spare; /* used ones, to be taken again once proven unshared */
	unsigned nspare, cap;
	bool no_lease;        /* this file system grants none: never recycle */
	int reopener;         /* of os.h */
};
void pr_vessels_open(struct vessels *vs, const char *dir);
/* own: flags for an open of its own for the child, if that can be had; 0: not wanted. */
int pr_vessel_get(struct vessels *vs, struct vessel *v, int own); /* 0 or -errno */
void pr_vessel_given(struct vessel *v); /* the child has its fd now, or never will */
int64_t pr_vessel_ended(struct vessels *vs, struct vessel *v); /* the job has: its length */
void pr_vessel_put(struct vessels *vs, struct vessel *v, int64_t len); /* recycle or close */
void pr_vessels_close(struct vessels *vs);

/* ---- a slot: where one job runs ---- */
struct stream {
	struct vessel file;
	struct watch pipe; /* fd -1: no pipe */
	bool spill;        /* pipe goes to the file, not to events */
	int64_t spilled;
	int64_t drain;     /* after the exit: bytes still to read; -1: still running */
	int error;         /* its file could not take what came: an errno */
};
enum { STREAM_OUT, STREAM_ERR, STREAM_RES, NSTREAMS };

struct ending;
struct pad;

struct slot {
	unsigned number, next_free; /* from 1; 0 ends the list */
	struct job *job;
	pid_t pid;
	struct watch exit; /* the pidfd; -1 where there is none */
	struct stream st[NSTREAMS];
	struct timer deadline;
	struct ending *ending; /* it is being ended by us */
	int why;               /* 0, PRONG_TIMEDOUT, PRONG_CANCELLED */
	int64_t start_mono;
	bool exited;
	struct pad *pad;       /* its child was sent off from there, and may be on its way yet */
	int start_error;       /* errno of a start that failed on its way, at result.step */
	volatile int *report; /* NULL, or shared memory: step and errno of a function's failed set-up */
	struct prong_result result;
};

/* ---- engine.h's implementations ---- */
struct fired { /* what one turn of an engine brought */
	enum { FIRED_NOTHING, FIRED_EXIT, FIRED_OUTPUT, FIRED_WAKE, FIRED_HOST,
	       FIRED_TASK,
	       FIRED_UNSTARTED /* a start failed after all: error, as start() would have */
	} kind;
	int error;
	struct slot *slot;
	struct job *job; /* FIRED_TASK */
	struct prong_result *result;
	int stream;
	const void *data;
	size_t len;
	struct watch *watch;
};

enum { PR_IN_CHILD = 1 };

struct engine_ops {
	int (*open)(struct prong *p);
	int64_t (*now)(struct prong *p); /* monotonic nanoseconds */
	/* Start slot->job. 0; -EAGAIN, -EMFILE, -ENFILE, -ENOMEM: not now, it is tried again;
	 * else -errno with result.step. */
	int (*start)(struct prong *p, struct slot *s); /* PR_IN_CHILD: prong_fork(), the child */
	/* Wait until `until`, at most; one thing at a time.  1: *f is set, 0: time is over. */
	int (*wait)(struct prong *p, int64_t until, struct fired *f);
	/* Begin to end a running job by its termination sequence: its exit will follow. */
	int (*stop)(struct prong *p, struct slot *s); /* 0 or -errno */
	/* Signal a running job's group. 0 or -errno. */
	int (*signal)(struct prong *p, struct slot *s, int sig);
	/* The result was handed out and is not needed any more: release slot->st. */
	void (*release)(struct prong *p, struct slot *s);
	void (*close)(struct prong *p);
};

struct prong {
	unsigned char *alive; /* a page that fork wipes: *alive == 0 in a child */
	struct prong_options opt;
	char *tmpdir, *termseq;
	sigset_t sigmask;
	const struct engine_ops *ops;
	void *engine; /* the engine's own */
	struct slot **slots;
	unsigned nslots, limit, running, free; /* free: number of the first free slot */
	struct job_list waiting, resting, cancelled;
	size_t nwaiting, nresting, ncancelled;
	struct timers timers;
	int64_t next_id, hold; /* hold: no start before this (the system said EAGAIN) */
	unsigned holds;        /* how often in a row */
	struct slot *last_slot; /* of the DONE event handed out last: released at the next wait */
	struct job *last_job;
	struct prong_event event;
	struct prong_result result; /* for jobs that never had a slot */
	struct ending *endings;
	unsigned nendings;
	uint64_t seed;
	struct crew *crew; /* standing workers; NULL before the first task for one */
	bool hungry;       /* the queue, or room for its tasks, has grown */
	unsigned turns;
	size_t enough;     /* a queue of this length makes it hungry */
	struct spare { /* blocks for reuse: of tasks, and of other jobs */
		struct job *head;
		unsigned n;
	} spare[2];
	char *reply;       /* of a function with .work in a fresh fork */
	bool no_results;   /* prong_map()'s: functions get no file for one */
	struct ev *ev; /* NULL: an engine that sleeps on nothing (the tests') */
	struct host_watch *hosts;
};

/* 0; -EINVAL: none; -EPERM: a forked copy of the host's. */
static inline int pr_usable(const struct prong *p)
{
	return !p ? -EINVAL : *p->alive ? 0 : -EPERM;
}

/* pool.c and turn.c */
enum { PR_WINDOW = 64, PR_WINDOW_MAX = 1024 };
struct slot *pr_slot_take(struct prong *p); /* NULL: as many run as may */
void pr_slot_give(struct prong *p, struct slot *s);
struct job *pr_next_waiting(struct prong *p); /* the queue's head; a try of it begins */
void pr_wait_again(struct prong *p, struct job *j); /* that try did not happen */
bool pr_out_of_resources(int e);
bool pr_hold(struct prong *p);
int pr_open_engine(struct prong **out, const struct prong_options *o,
                   const struct engine_ops *ops, void *ctx);
void pr_slot_stop(struct prong *p, struct slot *s, int why);
int64_t pr_deadline(const struct prong *p); /* when the clock has work; PR_NEVER */

/* host.c: prong_fd(), prong_watch(), prong_wake() */
void pr_hosts_free(struct prong *p);

/* policy.c: what follows a finished try; pure. */
enum verdict { VERDICT_DONE, VERDICT_RETRY };
bool pr_result_ok(const struct prong_result *r);
void pr_result_lost(struct prong_result *r, int error); /* what it wrote or replied */
enum verdict pr_policy(unsigned tries, const struct prong_result *r);

/* job.c: make and free the block. */
int pr_job_new(struct prong *p, struct job **out, const struct prong_spec *spec, bool forked);
void pr_job_free(struct prong *p, struct job *j); /* NULL is allowed */
void pr_jobs_trim(struct prong *p); /* free those kept for reuse */

/* ending.c: terminations, which go on beside finished jobs. */
int pr_termseq_check(const char *seq); /* 0 or -EINVAL */
int pr_termseq_next(const char **at, int *sig, int64_t *ms); /* 0 or -EINVAL */
int pr_ending_begin(struct prong *p, struct slot *s); /* the leader runs */
int pr_ending_of_rest(struct prong *p, struct slot *s); /* the leader is a zombie already */
bool pr_ending_leader_gone(struct prong *p, struct slot *s); /* true: it keeps the zombie */
void pr_endings_kill(struct prong *p); /* SIGKILL what is left, reap, free: for close */
bool pr_ending_owns(const struct prong *p, pid_t pid);
bool pr_ending_marked(const struct prong *p, const char *mark); /* does one hunt for it? */

/* sweep-*.c: find processes of a job. */
struct sweep_target {
	pid_t leader; /* also the number of its group and session */
	bool session; /* it had a session of its own */
	bool group;
	const char *mark; /* "NAME=VALUE" or NULL */
	bool killed;      /* its group got a SIGKILL already */
};
/* Signal every live process that belongs to t (sig 0: only count).  How many there are
 * besides the leader itself, or -errno if /proc cannot be read. */
int pr_sweep(const struct sweep_target *t, int sig);

/* seed.c */
enum { PR_SEED_NAME = sizeof "PRONG_SEED=" - 1, PR_SEED_ENV = PR_SEED_NAME + 11 };
uint64_t pr_seed(uint64_t pool, int64_t id);
void pr_seed_env(char out[PR_SEED_ENV], uint64_t pool, int64_t id);
void pr_seed_digits(char out[10], uint64_t pool, int64_t id); /* what follows PRONG_SEED= */
uint64_t pr_seed_random(void); /* for a pool; never 0 */

/* task.c: .work in a fresh fork */
int pr_task_forked(void *job, int result_fd);

/* err.c */
int pr_signal_number(const char *name, size_t len); /* "TERM", "SIGTERM", "15"; or -EINVAL */

#endif
