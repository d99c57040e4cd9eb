/* prong.h - run commands and functions in child processes, at most N at a time.
 *
 * Three ways to run something, in one pool if you like:
 *   .argv = ...                     a command
 *   .fn or .work = ...              a function in a fresh fork: sees all memory as it is now
 *   .work = ..., .engine = "worker" a function in a standing worker: forked once, fed many
 *                                   small tasks, so that a task costs a message, not a fork
 * and for arrays prong_map() and prong_for(); for code in place, prong_fork().
 *
 * Specs in, events out: prong_submit() queues a job, prong_wait() runs the pool and
 * hands back one event.  Everything (starting, watching, killing, reaping) happens
 * inside prong_wait(); nothing runs behind the caller's back.
 *
 * Errors: 0 or a positive number is success, a negative errno is failure; `errno` itself
 * is unspecified.  The library never prints, exits, installs a signal handler, or waits
 * for a child it did not start (unless PRONG_REAP_STRAYS asks for it).  A job that fails
 * is not an error of the call: it is an event.  (Built for plain POSIX, it does have a
 * SIGCHLD handler while a pool is open, which calls the host's: docs/portability.md.)
 *
 * Threads: a pool belongs to one thread at a time and has no locks; pools share nothing.
 * Only prong_wake() may be called from elsewhere (it is async-signal-safe).
 * Fork: in a child of the host every call on an inherited pool returns -EPERM.  Without a
 * pool (NULL) it is -EINVAL; calls that count return 0 in both cases.
 *
 * Functions in children.  stdio is flushed before the fork (without glibc, a thread that
 * waits for input from another FILE than stdin keeps that waiting; one that waits for stdin leaves
 * only stdout and stderr flushed).  In the child caught signals are
 * default, the mask is the pool's, the library's own fds are closed, $PRONG_SEED is a number
 * of 10 digits that no other job of the pool has (from options.seed and the job's id), and
 * the end is fflush() and _exit(): the host's atexit handlers run once, in the host.
 * Hosts with threads: only the forking thread exists in the child, and a lock that another
 * one held stays locked.  glibc and musl make malloc and stdio usable there; else call only
 * async-signal-safe functions, or fork workers before starting threads, or give
 * options.fork a function that prepares for it.
 *
 * Bindings (CPython and the like): set options.fork to a function that takes the
 * interpreter's lock, runs its before-fork hooks, forks, runs the after-fork hooks of the
 * side it is on, and returns what fork() did.  It is called inside prong_wait() (and
 * prong_fork()), in the thread that waits, with all signals blocked.  .work is called in the
 * child as the callback left it, one task after the other; .worker_init before the first.
 *
 * SPDX-License-Identifier: MIT */
#ifndef PRONG_H
#define PRONG_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/select.h> /* sigset_t: signal.h hides it from strict C99 */
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PRONG_VERSION 0x000100 /* 0xMMmmpp of this header */

#if defined(__GNUC__)
#define PRONG_NORETURN_ __attribute__((__noreturn__)) /* never returns */
#define PRONG_CLEANUP_ __attribute__((__cleanup__(prong_fell_out))) /* for PRONG_CHILD */
#else
#define PRONG_NORETURN_ /* never returns */
#define PRONG_CLEANUP_ /* for PRONG_CHILD */
#endif

struct prong; /* a pool; opaque */

/* ---- flags of a pool ---- */
enum prong_pool_flag {
	PRONG_REAP_STRAYS = 1u << 0, /* this process is a subreaper: reap adopted orphans too */
	PRONG_NO_HANDLERS = 1u << 1, /* promise: this process has no signal handlers */
	PRONG_CAPTURE_PIPE = 1u << 2, /* capture FILE streams through pipes (spilled to files) */
	PRONG_DEATHSIG = 1u << 3 /* functions and workers get SIGKILL when the thread that forked
	                            them ends (Linux).  Without it a worker ends when it finds,
	                            between two tasks, that the host is gone; a function in a
	                            fresh fork runs on. */
};

/* ---- flags of a job ---- */
enum prong_spec_flag {
	PRONG_SWEEP = 1u << 0,     /* kill what the job left behind when its leader exits */
	PRONG_NEW_SESSION = 1u << 1, /* a session of its own: no controlling terminal */
	PRONG_FOREGROUND = 1u << 2, /* make its process group the terminal's (tty_fd) */
	PRONG_SAME_GROUP = 1u << 3, /* stay in the caller's process group (then never killed
	                               as a group) */
	PRONG_KEEP_FDS = 1u << 4,   /* fds above 2 that are not close-on-exec stay open in
	                               the job; without it they are closed.  (Functions keep
	                               the host's fds always.) */
	PRONG_BORROW = 1u << 5      /* the task's bytes are not copied: they stay the caller's,
	                               unchanged until its DONE event is superseded */
};

/* What a standard stream of the job is.  0 means: stdin from /dev/null, output captured. */
enum prong_stdio_how {
	PRONG_DEFAULT = 0,
	PRONG_NULL,    /* /dev/null */
	PRONG_INHERIT, /* the caller's own stream */
	PRONG_FD,      /* the given fd; stays the caller's */
	PRONG_FILE,    /* captured to an unlinked file, complete at PRONG_DONE */
	PRONG_PIPE,    /* delivered live as PRONG_OUTPUT events */
	PRONG_MERGE    /* err only: the same as out */
};
struct prong_stdio {
	int how, fd; /* how: enum prong_stdio_how */
};

/* Options of prong_open().  Zero in any field means the default. */
struct prong_options {
	size_t size;         /* sizeof this struct as the caller knew it */
	unsigned jobs;       /* at most this many at once; 0: CPUs this thread may run on */
	unsigned flags;      /* enum prong_pool_flag */
	const char *tmpdir;  /* for captured output; NULL: $TMPDIR, else /tmp.  Copied. */
	const char *termseq; /* "TERM,200,TERM,100,TERM,50,KILL,25": signal, milliseconds, ...
	                        Copied. */
	char *const *env;    /* environment of jobs; NULL: environ.  Borrowed for the pool's life. */
	const sigset_t *sigmask; /* mask of jobs; NULL: the mask of the thread that spawns.
	                            Copied. */
	pid_t (*fork)(void *);   /* how to fork for function jobs; NULL: fork() */
	void *fork_arg;          /* its argument */
	uint64_t seed;           /* seeds of jobs come from it; 0: another one for each pool */

	/* Standing workers. */
	int (*worker_init)(void *arg); /* in each new worker, first.  Not 0: the worker is of
	                                  no use; after three in a row, a task for each that
	                                  fails is PRONG_NOTSTARTED, step PRONG_STEP_INIT (or
	                                  a step of its set-up that failed before) */
	void (*worker_exit)(void *arg); /* in a worker that ends in peace: recycled, or idle at
	                                   prong_close() */
	void *worker_arg;        /* their argument */
	unsigned window;         /* tasks handed to a worker ahead, at most (1..1024); 0: 64.
	                            Fewer for tasks that take long: see prong_submit() */
	unsigned recycle_tasks;  /* a new worker after so many; 0: never */
	size_t recycle_rss;      /* a new worker when one has grown by so many bytes of resident
	                            memory since its first task; 0: never */

	struct prong *spare;     /* PRONG_REAP_STRAYS: another pool of this process, whose
	                            processes are no strays.  It must outlive this one */
};

/* What a function in a child (.work) sees of its task.  Library memory. */
struct prong_task {
	int64_t id;         /* as prong_submit() returned it */
	void *arg;          /* .arg: an address of the host as it was at the fork.  Standing
	                       workers were forked earlier: only what was there then is there */
	const void *data;   /* .task and .task_len: the payload; aligned to 16 */
	size_t len;
	uint64_t seed;      /* from options.seed and id: the same in every run, whatever worker */
	unsigned slot;      /* 1..jobs */
	unsigned attempt;   /* 1 for the first */
};

/* In .work: append to the result, which is event->data, event->len of the DONE event.  Any
 * size; 0, or -ENOMEM if there is no memory or room for it.  In a fresh fork it is stored when
 * .work has returned; if it cannot be, the status is 255, whatever .work returned. */
int prong_reply(struct prong_task *task, const void *data, size_t len);

/* In .work: append len bytes and return where to write them, aligned to 16 if it is the
 * first piece; valid until the next reply or the return.  NULL: no memory. */
void *prong_reply_room(struct prong_task *task, size_t len);

/* A job.  Everything it points to is copied by prong_submit(), except what `arg` and `tag`
 * name (and task with PRONG_BORROW). */
struct prong_spec {
	size_t size;          /* set by PRONG_SPEC() */
	char *const *argv;    /* a command, NULL-terminated; looked up in $PATH (and what was
	                         found is remembered as long as the pool lives) ... */
	int (*fn)(void *arg, int result_fd); /* ... or a function run in a fork; exactly one
	                         of argv, fn, work */
	void *arg;            /* for fn and work */
	const void *task;     /* payload for work */
	size_t task_len;
	const char *engine;   /* NULL, "local": a process of its own; "worker": a standing
	                         worker.  Then only work, arg, task, timeout_ms, backoff_ms,
	                         tries, termseq, tag may be set: stdin is /dev/null, stdout and
	                         stderr are the host's (flushed after each task) */
	const char *path;     /* the file to execute; NULL: argv[0] looked up in $PATH */
	char *const *env;     /* NULL: the pool's */
	char *const *setenv;  /* "NAME=VALUE" strings that override env; may be NULL */
	const char *mark;     /* one of the setenv strings, unique to the job: processes that
	                         carry it (or mark/...) are the job's, wherever they went */
	const char *cwd;      /* NULL: the caller's */
	struct prong_stdio in, out, err;
	const int *pass_fds;  /* fds kept open in the job, under the same number */
	unsigned npass_fds;
	unsigned flags;       /* enum prong_spec_flag */
	int nice;             /* added to the job's nice value */
	int tty_fd;           /* for PRONG_FOREGROUND */
	int64_t timeout_ms;   /* from its start; 0: none */
	int64_t backoff_ms;   /* pause before another try */
	unsigned tries;       /* how often to run it until it succeeds; 0 means 1.  With a mark, the
	                         next try waits until the end of what the last one left, if it
	                         is ended (timeout_ms, PRONG_SWEEP), is over */
	const char *termseq;  /* NULL: the pool's */
	void *tag;            /* the caller's; comes back in every event */
	int (*work)(struct prong_task *task); /* a function with payload and result bytes; what
	                         it returns (0..255) is the status, as if it were an exit code */
};
#define PRONG_SPEC(...) (&(struct prong_spec){ .size = sizeof(struct prong_spec), __VA_ARGS__ })

/* How a job ended. */
enum prong_how {
	PRONG_EXITED = 1,  /* status: exit code */
	PRONG_SIGNALED,    /* status: signal number */
	PRONG_TIMEDOUT,    /* ended by its timeout; status: raw as in SIGNALED, 0 if it exited */
	PRONG_CANCELLED,   /* ended (or never begun) by prong_stop(); status as in TIMEDOUT */
	PRONG_NOTSTARTED,  /* status: errno; step: where */
	PRONG_LOST         /* what became of it is not known: somebody else reaped it (status: 0),
	                      or there was no room or memory for what it wrote or replied
	                      (status: the errno; also if it was ended by timeout or stop) */
};

/* Where a start failed. */
enum prong_step {
	PRONG_STEP_NONE,
	PRONG_STEP_CAPTURE, /* making the files for output, or for a worker's payload */
	PRONG_STEP_FORK,
	PRONG_STEP_GROUP,
	PRONG_STEP_STDIN,
	PRONG_STEP_STDOUT,
	PRONG_STEP_STDERR,
	PRONG_STEP_CHDIR,
	PRONG_STEP_NICE,
	PRONG_STEP_TTY,
	PRONG_STEP_EXEC,
	PRONG_STEP_INIT /* worker_init; status: what it returned, or EIO if the worker died */
};

/* One captured stream.  The fd is positioned anywhere: read it with pread(). */
struct prong_captured {
	int fd;      /* -1: this stream was not captured */
	int64_t len; /* bytes, as of the leader's exit */
};

/* What became of a try of a job. */
struct prong_result {
	int how;          /* enum prong_how */
	int status;       /* exit code, signal or errno, according to how */
	int step;         /* enum prong_step, for PRONG_NOTSTARTED */
	unsigned attempt; /* 1 for the first */
	int core;         /* 1: dumped core */
	int sent;         /* last signal this pool sent to it, 0 none */
	pid_t pid;        /* 0 if never started */
	int64_t start_ns, end_ns; /* CLOCK_REALTIME at the start; end = start + monotonic run time */
	struct rusage usage;      /* of the leader and the children it waited for; of a standing
	                             worker only if it died, and then for its whole life */
	struct prong_captured out, err;
	struct prong_captured res; /* what a function wrote to result_fd */
};

/* What prong_wait() tells. */
enum prong_event_type {
	PRONG_STARTED = 1, /* the job has a process, which is perhaps still on its way to exec:
	                      DONE with PRONG_NOTSTARTED may follow, or another STARTED if
	                      resources were short.  result->pid and start_ns are set.  Not
	                      told for tasks of standing workers */
	PRONG_OUTPUT,      /* data, len bytes of stream 1 or 2 */
	PRONG_RETRY,       /* this try failed, another follows; result is set */
	PRONG_DONE,        /* the last event of a job; data, len: what .work replied */
	PRONG_WOKEN,       /* prong_wake() was called */
	PRONG_READY        /* a watched fd is ready; id is the fd, tag as given */
};

/* What prong_watch() watches for, and what a READY event found. */
enum prong_ready {
	PRONG_READ = 1u << 0,
	PRONG_WRITE = 1u << 1
};

/* Library memory; valid until the next prong_wait(), prong_fork() or prong_close(). */
struct prong_event {
	int type;      /* enum prong_event_type */
	unsigned slot; /* 1..jobs; 0 if it never had one */
	int64_t id;
	void *tag;
	int stream;
	const void *data;
	size_t len;
	const struct prong_result *result; /* STARTED, RETRY, DONE */
	unsigned ready; /* READY: enum prong_ready */
};

/* Make a pool; options NULL: all defaults.  -EINVAL (bad size, flag, window or termseq, more than
 * 4194304 jobs), -ENOMEM, -EMFILE, -ENFILE, or why /dev/null cannot be opened; then *pool is NULL.
 * A tmpdir that cannot be used shows at the first job that needs it: PRONG_NOTSTARTED,
 * PRONG_STEP_CAPTURE. */
int prong_open(struct prong **pool, const struct prong_options *options);

/* Kill all jobs (SIGKILL), reap them, free the pool.  NULL is allowed. */
void prong_close(struct prong *pool);

/* Queue a job.  Returns its id (> 0), -EINVAL (misuse; nothing changed), -ENOMEM.
 * What only its process can find out (E2BIG, ENOENT, ...) is PRONG_NOTSTARTED.
 *
 * Jobs start in the order of submission.  Tasks for standing workers are handed out ahead:
 * one to each worker first, and up to `window` while tasks take microseconds; what waits
 * behind a task that takes long is taken back and given to others.  A worker that dies costs
 * the task it was running, whose DONE event says how (PRONG_SIGNALED, PRONG_EXITED, usage);
 * the worker is replaced.  A timeout or prong_stop() ends that task's worker alone. */
int64_t prong_submit(struct prong *pool, const struct prong_spec *spec);

/* Fork here: returns the child's id (> 0) in the caller, 0 in the child, or -EAGAIN if as
 * many jobs run as may (prong_room() == 0 or jobs wait: prong_wait() first) or the system has
 * no process to spare, -EINVAL, -EPERM, -ENOMEM.  spec may be NULL, or set what a child can
 * have (in, out, err, cwd, nice, setenv, timeout_ms, tag ...; out and err are the caller's
 * unless set; no argv, fn, work, tries).  There is no STARTED event; prong_wait() hands out
 * its DONE event.  In the child the pool answers -EPERM.  It must end by prong_leave() and
 * not go on in the caller's loop: use PRONG_CHILD. */
int64_t prong_fork(struct prong *pool, const struct prong_spec *spec);

/* End a child: flush stdio and _exit(status).  In a process that is no child of prong_fork()
 * it does the same. */
PRONG_NORETURN_ void prong_leave(int status);

/* For PRONG_CHILD: prong_leave(PRONG_FELL_OUT) if *child is not 0. */
void prong_fell_out(const int *child);

/* A block that runs in a forked child and cannot be left into the parent's code:
 *
 *	for (int i = 0; i < 7; i++) {
 *		int64_t id;
 *		PRONG_CHILD(pool, NULL, id) {
 *			printf("child %d\n", i);  // the child; its status is 0 at the end
 *		}                                 // (or break); prong_leave(n) says another
 *		printf("parent of %lld\n", (long long)id); // the parent only
 *	}
 *
 * With compilers that know the attribute cleanup (gcc, clang), return and goto out of the
 * block end the child as well, with status PRONG_FELL_OUT. */
#define PRONG_CHILD(pool, spec, id)                                                        \
	for (int prong_child_ PRONG_CLEANUP_ = ((id) = prong_fork((pool), (spec))) == 0;   \
	     prong_child_; prong_leave(prong_child_ = 0))                                  \
		for (int prong_once_ = 1; prong_once_; prong_once_ = 0)
#define PRONG_FELL_OUT 125 /* status of a child that left its block another way */

/* Wait up to timeout_ms (-1: for ever, 0: only look) for the next event.
 * 1: *event is set; 0: timed out; -ECHILD: nothing is queued, running, ending or watched;
 * -EINVAL: event is NULL; else what the system's call to sleep failed with. */
int prong_wait(struct prong *pool, const struct prong_event **event, int timeout_ms);

/* Keep a captured fd of the DONE or RETRY event last returned: it is the caller's now.  Stream
 * 1 is stdout, 2 stderr, 3 what a function wrote to result_fd.  -EINVAL if there is none. */
int prong_take(struct prong *pool, int stream);

/* End a job (id 0: all) by its termination sequence; queued ones are done at once.
 * -ESRCH if no such job, or its DONE event was handed out. */
int prong_stop(struct prong *pool, int64_t id);

/* Send a signal to the process group of a running job (id 0: all). -ESRCH, -EINVAL. */
int prong_signal(struct prong *pool, int64_t id, int sig);

/* Change how many run at once (>= 1).  Running jobs are never ended by it.  -EINVAL, -ENOMEM. */
int prong_resize(struct prong *pool, unsigned jobs);

/* How many submits would start at once. */
unsigned prong_room(const struct prong *pool);

/* How many more tasks to submit so that standing workers always have some ahead. */
unsigned prong_task_room(const struct prong *pool);

/* The slot number (1..jobs) the next submitted job will have, if prong_room() > 0; else 0. */
unsigned prong_next_slot(const struct prong *pool);

/* How many run now (never blocks). */
unsigned prong_running(const struct prong *pool);

/* Terminations still going on beside finished jobs. */
unsigned prong_ending(const struct prong *pool);

/* Readable (poll POLLIN) whenever prong_wait(pool, &ev, 0) has something to do.  Before
 * polling it, call prong_wait(pool, &ev, 0) until it returns no event: a submit, stop or
 * resize counts as something to do only there.  -ENOTSUP where the system has nothing
 * like epoll: then give the pool a thread, or a turn with timeout 0. */
int prong_fd(const struct prong *pool);

/* Watch fd for the host: prong_wait() reports PRONG_READY with this tag while it can be read
 * (on = PRONG_READ) or written without blocking (PRONG_WRITE), or either; level triggered; a hang-up or error
 * counts as all that is watched for.  Once more with the same fd replaces on and tag; 0 stops
 * it (do so before closing fd).  For hosts without an event loop.  -EPERM: a file that is
 * always ready (regular files); -ENOENT: 0 for an fd not watched; -EINVAL, -ENOMEM, -EBADF. */
int prong_watch(struct prong *pool, int fd, int on, void *tag);

/* Make prong_wait() return a PRONG_WOKEN event (also of a pool that has nothing else to do: before
 * -ECHILD).  Any thread, any signal handler. */
int prong_wake(struct prong *pool);

/* ---- arrays ---- */

/* Status of one item: 0..127 is what the function returned. */
enum prong_item {
	PRONG_ITEM_DIED = 128,   /* 128 + signal: its process was killed while it ran; 128: it
	                            ended by exit() */
	PRONG_ITEM_UNDONE = 255  /* never begun: the call itself failed */
};

/* fn(i) for every item, in `jobs` forked processes. */
struct prong_map {
	size_t size;          /* set by PRONG_MAP() */
	size_t n;             /* items */
	const void *in;       /* item i is at in + i * in_size; may be NULL */
	size_t in_size;
	void *out;            /* result i goes to out + i * out_size; may be NULL */
	size_t out_size;
	int (*fn)(size_t i, const void *in, void *out, void *arg); /* 0..127 */
	void *arg;
	unsigned char *status; /* one for each item: 0..127, or enum prong_item; may be NULL */
	unsigned jobs;        /* 0: CPUs this thread may run on */
	unsigned flags;       /* enum prong_map_flag */
	const struct prong_options *options; /* fork, fork_arg, tmpdir, seed; may be NULL */
	int64_t timeout_ms;   /* for one item (checked every 10 ms at most); its process is killed,
	                         status 128 + SIGKILL; 0: none */
};
/* What to do with an array, in place. */
#define PRONG_MAP(...) (&(struct prong_map){ .size = sizeof(struct prong_map), __VA_ARGS__ })

/* Flags of a map. */
enum prong_map_flag {
	PRONG_OUT_SHARED = 1u << 0 /* out is shared memory (prong_shared(), MAP_SHARED): children
	                              write in place.  Without it they write into shared memory
	                              of the call, copied to out at its end */
};

/* Run it.  Children see the input as it is now, claim items in chunks from a shared counter
 * (small ones if items take long), and write results in place.  A child that dies costs the
 * item it was at; another one goes on with the rest.  Returns how many items have a status
 * other than 0, or -EINVAL, -ENOMEM, -EAGAIN (no process could be forked; what is not done
 * has PRONG_ITEM_UNDONE), or why there is no pool, as prong_open() has it.  $PRONG_SEED is one per process. */
int64_t prong_map(const struct prong_map *map);

/* The same without arrays: fn(i, arg) for i in 0..n-1. */
int64_t prong_for(size_t n, int (*fn)(size_t i, void *arg), void *arg, unsigned jobs);

/* Zeroed memory that children share, and its end.  NULL: no memory. */
void *prong_shared(size_t size);
void prong_shared_free(void *memory, size_t size);

const char *prong_strerror(int err);     /* the text of an errno, negative or positive */
const char *prong_step_name(int step);   /* the name of a step: "exec", "chdir", ... */
const char *prong_signal_name(int sig);  /* the name of a signal: "TERM", ...; NULL if it has none */
unsigned prong_version(void);            /* the library's own PRONG_VERSION */

#ifdef __cplusplus
}
#endif
#endif
