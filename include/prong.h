/* prong.h - run commands and functions in child processes, at most N at a time.
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
 * Fork: in a child of the host every call on an inherited pool returns -EPERM.
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

struct prong; /* a pool; opaque */

/* ---- flags of a pool ---- */
enum prong_pool_flag {
	PRONG_REAP_STRAYS = 1u << 0, /* this process is a subreaper: reap adopted orphans too */
	PRONG_NO_HANDLERS = 1u << 1, /* promise: this process has no signal handlers */
	PRONG_CAPTURE_PIPE = 1u << 2 /* capture FILE streams through pipes (spilled to files) */
};

/* ---- flags of a job ---- */
enum prong_spec_flag {
	PRONG_SWEEP = 1u << 0,     /* kill what the job left behind when its leader exits */
	PRONG_NEW_SESSION = 1u << 1, /* a session of its own: no controlling terminal */
	PRONG_FOREGROUND = 1u << 2, /* make its process group the terminal's (tty_fd) */
	PRONG_SAME_GROUP = 1u << 3, /* stay in the caller's process group (then never killed
	                               as a group) */
	PRONG_KEEP_FDS = 1u << 4    /* fds above 2 that are not close-on-exec stay open in
	                               the job; without it they are closed */
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
};

/* A job.  Everything it points to is copied by prong_submit(), except task bytes of a
 * function job and what `tag` names. */
struct prong_spec {
	size_t size;          /* set by PRONG_SPEC() */
	char *const *argv;    /* a command, NULL-terminated; looked up in $PATH ... */
	int (*fn)(void *arg, int result_fd); /* ... or a function run in a fork; exactly one */
	void *arg;            /* first argument of fn */
	const void *task;     /* reserved: payload for standing workers */
	size_t task_len;
	const char *engine;   /* NULL: "local", the only one yet */
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
	unsigned tries;       /* how often to run it until it succeeds; 0 means 1 */
	const char *termseq;  /* NULL: the pool's */
	void *tag;            /* the caller's; comes back in every event */
};
#define PRONG_SPEC(...) (&(struct prong_spec){ .size = sizeof(struct prong_spec), __VA_ARGS__ })

/* How a job ended. */
enum prong_how {
	PRONG_EXITED = 1,  /* status: exit code */
	PRONG_SIGNALED,    /* status: signal number */
	PRONG_TIMEDOUT,    /* ended by its timeout; status: raw as in SIGNALED, 0 if it exited */
	PRONG_CANCELLED,   /* ended (or never begun) by prong_stop(); status as in TIMEDOUT */
	PRONG_NOTSTARTED,  /* status: errno; step: where */
	PRONG_LOST         /* somebody else reaped it; status: 0 */
};

/* Where a start failed. */
enum prong_step {
	PRONG_STEP_NONE,
	PRONG_STEP_CAPTURE, /* making the output files */
	PRONG_STEP_FORK,
	PRONG_STEP_GROUP,
	PRONG_STEP_STDIN,
	PRONG_STEP_STDOUT,
	PRONG_STEP_STDERR,
	PRONG_STEP_CHDIR,
	PRONG_STEP_NICE,
	PRONG_STEP_TTY,
	PRONG_STEP_EXEC
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
	struct rusage usage;      /* of the leader and the children it waited for */
	struct prong_captured out, err;
	struct prong_captured res; /* what a function wrote to result_fd */
};

/* What prong_wait() tells. */
enum prong_event_type {
	PRONG_STARTED = 1, /* the job runs; result->pid and start_ns are set */
	PRONG_OUTPUT,      /* data, len bytes of stream 1 or 2 */
	PRONG_RETRY,       /* this try failed, another follows; result is set */
	PRONG_DONE,        /* the last event of a job */
	PRONG_WOKEN,       /* prong_wake() was called */
	PRONG_READY        /* a watched fd is ready; id is the fd, tag as given */
};

/* What prong_watch() watches for, and what a READY event found. */
enum prong_ready {
	PRONG_READ = 1u << 0,
	PRONG_WRITE = 1u << 1
};

/* Library memory; valid until the next prong_wait() or prong_close(). */
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

/* Make a pool.  -EINVAL (bad size, flag or termseq), -ENOMEM, -EMFILE, -ENFILE,
 * or what opening tmpdir gave. */
int prong_open(struct prong **pool, const struct prong_options *options);

/* Kill all jobs (SIGKILL), reap them, free the pool.  NULL is allowed. */
void prong_close(struct prong *pool);

/* Queue a job.  Returns its id (> 0), -EINVAL (misuse; nothing changed), -ENOMEM, -E2BIG. */
int64_t prong_submit(struct prong *pool, const struct prong_spec *spec);

/* Wait up to timeout_ms (-1: for ever, 0: only look) for the next event.
 * 1: *event is set; 0: timed out; -ECHILD: nothing is queued, running, ending or watched. */
int prong_wait(struct prong *pool, const struct prong_event **event, int timeout_ms);

/* Keep a captured fd (stream 1 or 2) of the DONE event last returned: it is the caller's
 * now.  -EINVAL if there is none. */
int prong_take(struct prong *pool, int stream);

/* End a job (id 0: all) by its termination sequence; queued ones are done at once.
 * -ESRCH if no such job. */
int prong_stop(struct prong *pool, int64_t id);

/* Send a signal to the process group of a running job (id 0: all). -ESRCH, -EINVAL. */
int prong_signal(struct prong *pool, int64_t id, int sig);

/* Change how many run at once (>= 1).  Running jobs are never ended by it. */
int prong_resize(struct prong *pool, unsigned jobs);

/* How many submits would start at once. */
unsigned prong_room(const struct prong *pool);

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

/* Make prong_wait() return a PRONG_WOKEN event.  Any thread, any signal handler. */
int prong_wake(struct prong *pool);

const char *prong_strerror(int err);     /* the text of an errno, negative or positive */
const char *prong_step_name(int step);   /* the name of a step: "exec", "chdir", ... */
const char *prong_signal_name(int sig);  /* the name of a signal: "TERM", ...; NULL if it has none */
unsigned prong_version(void);            /* the library's own PRONG_VERSION */

#ifdef __cplusplus
}
#endif
#endif
