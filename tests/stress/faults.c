/* faults.c - the fault pass over the public face, from C: every call that the library makes of
 * the system fails, the k-th of each kind, for every k, in hosts, functions and workers alike,
 * and in children on their way to exec.
 *
 * usage: faults [SCENARIO [CALL [ERROR [K [MORE]]]]]
 *
 * Whatever fails, each job submitted ends once, as it should or with an error that says so; no
 * reply or output is lost unseen; no descriptor, no process, no file stays; nothing hangs. */
#include "wrap.h"

#include <prong.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	JOBS_MAX = 32,
	K_MAX = 120,    /* of each kind; but for sigaction, in a scenario there are fewer */
	HANG_S = 60,
	LARGE = 700000, /* more than workers have room for at first */
	ITEMS = 60,
	BAD_ITEM = 7
};

static char dir[] = "/tmp/prong-faultsXXXXXX";
static unsigned char large[LARGE];

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *fmt, ...)
{
	va_list ap;
	wrap_disarm();
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(1);
}

/* Our own calls are none of libprong's. */
static ssize_t read_at(int fd, void *buf, size_t len)
{
	return preadv(fd, &(struct iovec){ buf, len }, 1, 0);
}

static bool one_of(int n, const char *what)
{
	char name[32];
	snprintf(name, sizeof name, "%s,", wrapped_calls[n].name);
	return strstr(what, name) != NULL;
}

static int armed = -1; /* the call that fails */
static int error;      /* and what with */
static unsigned told;  /* so many jobs did not start for that reason */

static bool is_raw(const char *what)
{
	return armed >= 0 && wrapped_calls[armed].raw && (!what || one_of(armed, what));
}

/* A child's step that fails is the job's end, and told as it was; others have another way. */
static bool raw_step(const struct prong_result *r)
{
	int s = r->step;
	if (r->status != error)
		return false;
	if (is_raw("raw_setsid,raw_setpgid,"))
		return s == PRONG_STEP_GROUP;
	if (is_raw("raw_dup3,raw_fcntl,"))
		return s == PRONG_STEP_STDIN || s == PRONG_STEP_STDOUT || s == PRONG_STEP_STDERR;
	if (is_raw("raw_chdir,"))
		return s == PRONG_STEP_CHDIR;
	return is_raw("raw_execve,") && s == PRONG_STEP_EXEC;
}

/* Neither tried again, nor another way. */
static bool must_be_told(void)
{
	return wrap_hit() && is_raw("raw_setsid,raw_setpgid,raw_dup3,raw_chdir,raw_execve,") &&
	       error != EMFILE && error != ENOMEM && error != ENOENT;
}

/* ---- jobs and what is expected of them ---- */

struct job {
	int64_t id;
	int status;         /* as it exits; -1: it is killed, stopped or times out */
	const void *reply;  /* what .work replies, or .fn writes */
	size_t reply_len;
	const char *out;    /* captured, or as events */
	char got[64];
	size_t ngot;
	int ended;
	pid_t pid;
};
static struct job jobs[JOBS_MAX];
static int njobs;

static void submit(struct prong *p, struct job expected, struct prong_spec spec)
{
	struct job *j = &jobs[njobs++];
	*j = expected;
	spec.size = sizeof spec;
	spec.tag = j;
	j->id = prong_submit(p, &spec);
	if (j->id > 0)
		return;
	if (j->id != -ENOMEM || !wrap_hit())
		wrong("prong_submit: %s", prong_strerror((int)j->id));
	j->ended = 1;
}

static void check_output(struct job *j, const struct prong_result *r)
{
	size_t len = strlen(j->out);
	if (r->out.fd >= 0) {
		ssize_t n = (size_t)r->out.len < sizeof j->got
		                    ? read_at(r->out.fd, j->got, (size_t)r->out.len)
		                    : -1;
		j->ngot = n > 0 ? (size_t)n : 0;
	}
	if (j->ngot != len || memcmp(j->got, j->out, len) != 0)
		wrong("job %d: output \"%.*s\", not \"%s\"", (int)j->id, (int)j->ngot, j->got, j->out);
}

static void check_reply(struct job *j, const struct prong_event *ev)
{
	static char buf[LARGE];
	const void *data = ev->data;
	size_t len = ev->len;
	if (!data && ev->result->res.fd >= 0) {
		ssize_t n = read_at(ev->result->res.fd, buf, sizeof buf);
		data = buf;
		len = n > 0 ? (size_t)n : 0;
	}
	if (len != j->reply_len || (len && memcmp(data, j->reply, len) != 0))
		wrong("job %d: a reply of %zu bytes, not the %zu it gave", (int)j->id, len, j->reply_len);
}

/* 255: it could not write its reply, and said so. */
static void check_exited(struct job *j, const struct prong_event *ev)
{
	const struct prong_result *r = ev->result;
	if (r->status == 255 && wrap_hit() && j->reply_len)
		return;
	if (r->status != j->status)
		wrong("job %d: status %d, not %d", (int)j->id, r->status, j->status);
	if (j->out)
		check_output(j, r);
	if (j->reply_len)
		check_reply(j, ev);
}

static bool not_started(const struct prong_result *r)
{
	told++;
	return wrap_hit() && r->status > 0 && r->step > 0 && prong_step_name(r->step) &&
	       (!is_raw(NULL) || raw_step(r));
}

static void check_done(struct job *j, const struct prong_event *ev)
{
	const struct prong_result *r = ev->result;
	if (j->ended++ || ev->id != j->id)
		wrong("job %d: a second end, or another's", (int)j->id);
	j->pid = r->pid;
	switch (r->how) {
	case PRONG_EXITED:
		check_exited(j, ev);
		return;
	case PRONG_NOTSTARTED:
		if (not_started(r))
			return;
		break;
	case PRONG_LOST:
		if (wrap_hit() && !is_raw(NULL))
			return;
		break;
	default:
		if (j->status < 0)
			return;
	}
	wrong("job %d: how %d, status %d, step %d", (int)j->id, r->how, r->status, r->step);
}

static void take_output(struct job *j, const struct prong_event *ev)
{
	if (ev->len > sizeof j->got - j->ngot)
		wrong("job %d: more output than there is", (int)j->id);
	memcpy(j->got + j->ngot, ev->data, ev->len);
	j->ngot += ev->len;
}

/* Until nothing is left. */
static void run(struct prong *p, void (*on_event)(struct prong *, const struct prong_event *))
{
	const struct prong_event *ev;
	int r;
	while ((r = prong_wait(p, &ev, 30000)) == 1) {
		if (on_event)
			on_event(p, ev);
		if (ev->type == PRONG_OUTPUT)
			take_output(ev->tag, ev);
		if (ev->type == PRONG_DONE)
			check_done(ev->tag, ev);
		if (ev->type == PRONG_RETRY && ev->result->how == PRONG_NOTSTARTED &&
		    !not_started(ev->result))
			wrong("step %d failed: %d", ev->result->step, ev->result->status);
	}
	if (r == 0)
		wrong("30 seconds without an event");
	if (r != -ECHILD && !(wrap_hit() && one_of(armed, "epoll_wait,poll,")))
		wrong("prong_wait: %s", prong_strerror(r));
	for (int i = 0; r == -ECHILD && i < njobs; i++)
		if (!jobs[i].ended)
			wrong("job %d never ended", (int)jobs[i].id);
}

static struct prong *open_pool(struct prong_options o)
{
	struct prong *p;
	o.size = sizeof o;
	o.jobs = o.jobs ? o.jobs : 2;
	o.tmpdir = dir;
	o.termseq = "TERM,20,KILL,20";
	int e = prong_open(&p, &o);
	if (e == 0)
		return p;
	if (!wrap_hit() || e > 0 || e < -133)
		wrong("prong_open: %d", e);
	return NULL; /* it was told: nothing is open */
}

/* ---- functions ---- */

static int writes(void *arg, int fd)
{
	printf("out");
	return writev(fd, &(struct iovec){ arg, strlen(arg) }, 1) > 0 ? 7 : 255;
}

static int echo(struct prong_task *t)
{
	return prong_reply(t, t->data, t->len) == 0 ? 3 : 255;
}

static int in_two(struct prong_task *t)
{
	void *room = prong_reply_room(t, t->len / 2);
	if (!room)
		return 255;
	memcpy(room, t->data, t->len / 2);
	return prong_reply(t, (const char *)t->data + t->len / 2, t->len - t->len / 2) ? 255 : 3;
}

static int dies(struct prong_task *t)
{
	(void)t;
	raise(SIGKILL);
	return 0;
}

static int sleeps(struct prong_task *t)
{
	(void)t;
	sleep(100);
	return 0;
}

static int nothing(struct prong_task *t)
{
	(void)t;
	return 0;
}

static void functions(void)
{
	struct prong *p = open_pool((struct prong_options){ 0 });
	char *env[] = { "A=b", NULL };
	if (!p)
		return;
	submit(p, (struct job){ .status = 7, .reply = "r", .reply_len = 1, .out = "out" },
	       (struct prong_spec){ .fn = writes, .arg = "r" });
	submit(p, (struct job){ .status = 3, .reply = "0123456789", .reply_len = 10 },
	       (struct prong_spec){ .work = echo, .task = "0123456789", .task_len = 10 });
	submit(p, (struct job){ .status = 3, .reply = large, .reply_len = LARGE },
	       (struct prong_spec){ .work = in_two, .task = large, .task_len = LARGE });
	submit(p, (struct job){ .status = 7, .reply = "r", .reply_len = 1, .out = "out" },
	       (struct prong_spec){ .fn = writes, .arg = "r", .cwd = "/", .nice = 1, .setenv = env,
	                            .out.how = PRONG_PIPE, .err.how = PRONG_MERGE });
	submit(p, (struct job){ .status = 7, .reply = "r", .reply_len = 1 },
	       (struct prong_spec){ .fn = writes, .arg = "r", .tries = 2, .backoff_ms = 1 });
	submit(p, (struct job){ .status = -1 },
	       (struct prong_spec){ .work = sleeps, .timeout_ms = 20 });
	submit(p, (struct job){ .status = -1 }, (struct prong_spec){ .work = dies });
	run(p, NULL);
	prong_close(p);
}

/* ---- commands ---- */

static void stop_third(struct prong *p, const struct prong_event *ev)
{
	if (ev->type == PRONG_STARTED && ev->tag == &jobs[2])
		prong_stop(p, ev->id);
	bool first = ev->type == PRONG_DONE && ev->tag == &jobs[0];
	if (first && ev->result->how == PRONG_EXITED && ev->result->out.fd >= 0) {
		int fd = prong_take(p, 1);
		if (fd < 0)
			wrong("prong_take: %d", fd);
		check_output(&jobs[0], ev->result);
		jobs[0].out = NULL;
		close(fd);
	}
}

static void commands_of(unsigned flags)
{
	struct prong *p = open_pool((struct prong_options){ .flags = flags });
	char *echo_argv[] = { "sh", "-c", "echo out", NULL }, *sleep_argv[] = { "sleep", "100", NULL };
	char *leaves[] = { "sh", "-c", "sleep 100 & setsid sleep 100 & echo out", NULL };
	char mark[40], *env[] = { "A=b", NULL }, *marked[] = { mark, NULL };
	int fd[2], e;
	if (!p)
		return;
	snprintf(mark, sizeof mark, "MARK_OF_FAULTS=%d", (int)getpid());
	submit(p, (struct job){ .out = "out\n" }, (struct prong_spec){ .argv = echo_argv });
	submit(p, (struct job){ .out = "out\n" },
	       (struct prong_spec){ .argv = echo_argv, .cwd = "/", .nice = 1, .setenv = env,
	                            .in = { PRONG_FD, 0 }, .out.how = PRONG_PIPE,
	                            .err.how = PRONG_MERGE });
	submit(p, (struct job){ .status = -1 },
	       (struct prong_spec){ .argv = sleep_argv, .flags = PRONG_NEW_SESSION });
	submit(p, (struct job){ .out = "out\n" },
	       (struct prong_spec){ .argv = leaves, .setenv = marked, .mark = mark,
	                            .flags = PRONG_SWEEP | PRONG_NEW_SESSION });
	submit(p, (struct job){ .status = -1 },
	       (struct prong_spec){ .argv = sleep_argv, .timeout_ms = 20 });
	submit(p, (struct job){ .out = "out\n" },
	       (struct prong_spec){ .argv = echo_argv, .in.how = PRONG_NULL, .tries = 2 });
	if (pipe(fd) != 0)
		wrong("pipe");
	e = prong_watch(p, fd[0], PRONG_READ, NULL);
	if (e == 0)
		prong_watch(p, fd[0], 0, NULL);
	else if (!wrap_hit())
		wrong("prong_watch: %d", e);
	if (prong_wake(p) != 0 && !wrap_hit())
		wrong("prong_wake");
	prong_fd(p);
	e = prong_resize(p, 3);
	if (e != 0 && (e != -ENOMEM || !wrap_hit()))
		wrong("prong_resize: %d", e);
	run(p, stop_third);
	if (must_be_told() && told == 0)
		wrong("%s failed, and no job was told so", wrapped_calls[armed].name);
	prong_close(p);
	close(fd[0]);
	close(fd[1]);
}

static void commands(void)
{
	commands_of(0);
}

static void piped(void)
{
	commands_of(PRONG_CAPTURE_PIPE | PRONG_REAP_STRAYS);
}

/* ---- workers ---- */

static int init(void *arg)
{
	return arg ? 0 : 9;
}

static void leave(void *arg)
{
	(void)arg;
}

static void workers(void)
{
	static char task[8000];
	struct prong *p = open_pool((struct prong_options){
		.worker_init = init, .worker_exit = leave, .worker_arg = dir, .recycle_tasks = 5,
		.recycle_rss = 1 << 30, .flags = PRONG_DEATHSIG });
	if (!p)
		return;
	for (int i = 0; i < 8; i++)
		submit(p, (struct job){ .status = 3, .reply = task, .reply_len = sizeof task },
		       (struct prong_spec){ .work = echo, .engine = "worker", .task = task,
		                            .task_len = sizeof task });
	submit(p, (struct job){ .status = 3, .reply = large, .reply_len = LARGE },
	       (struct prong_spec){ .work = in_two, .engine = "worker", .task = large,
	                            .task_len = LARGE, .flags = PRONG_BORROW });
	submit(p, (struct job){ .status = -1 }, (struct prong_spec){ .work = dies, .engine = "worker" });
	submit(p, (struct job){ .status = -1 },
	       (struct prong_spec){ .work = sleeps, .engine = "worker", .timeout_ms = 20 });
	submit(p, (struct job){ .status = 0 },
	       (struct prong_spec){ .work = nothing, .engine = "worker", .tries = 2, .backoff_ms = 1 });
	submit(p, (struct job){ .status = 7, .reply = "r", .reply_len = 1, .out = "out" },
	       (struct prong_spec){ .fn = writes, .arg = "r" });
	for (int i = 0; i < 4; i++)
		submit(p, (struct job){ .status = 3, .reply = "x", .reply_len = 1 },
		       (struct prong_spec){ .work = echo, .engine = "worker", .task = "x",
		                            .task_len = 1 });
	run(p, NULL);
	prong_close(p);
}

/* ---- arrays ---- */

static int square(size_t i, const void *in, void *out, void *arg)
{
	(void)arg;
	if (i == BAD_ITEM)
		raise(SIGKILL);
	*(int *)out = *(const int *)in * *(const int *)in;
	return 0;
}

static void arrays(void)
{
	static int in[ITEMS], out[ITEMS];
	static unsigned char status[ITEMS];
	for (int i = 0; i < ITEMS; i++)
		in[i] = i + 1;
	struct prong_options o = { .size = sizeof o, .tmpdir = dir };
	int64_t r = prong_map(PRONG_MAP(.n = ITEMS, .in = in, .in_size = sizeof *in, .out = out,
	                                .out_size = sizeof *out, .fn = square, .status = status,
	                                .jobs = 2, .options = &o, .timeout_ms = 20000));
	if (r < 0 && (!wrap_hit() || r < -133))
		wrong("prong_map: %d", (int)r);
	int bad = 0;
	for (int i = 0; r >= 0 && i < ITEMS; i++) {
		bad += status[i] != 0;
		if (status[i] != (i == BAD_ITEM ? PRONG_ITEM_DIED + SIGKILL : 0))
			wrong("item %d: status %d", i, status[i]);
		if (!status[i] && out[i] != in[i] * in[i])
			wrong("item %d: result %d", i, out[i]);
	}
	if (r >= 0 && r != bad)
		wrong("prong_map: %d bad ones, not %d", (int)r, bad);
}

/* ---- code in place ---- */

static void forks(void)
{
	struct prong *p = open_pool((struct prong_options){ 0 });
	if (!p)
		return;
	for (int i = 0; i < 2; i++) {
		struct job *j = &jobs[njobs++];
		*j = (struct job){ .status = 5, .out = "out" };
		struct prong_spec s = { .size = sizeof s, .tag = j, .cwd = "/",
			                .out.how = i ? PRONG_PIPE : PRONG_FILE };
		PRONG_CHILD(p, &s, j->id) {
			printf("out");
			if (prong_submit(p, PRONG_SPEC(.work = nothing)) != -EPERM)
				prong_leave(9);
			prong_leave(5);
		}
		if (j->id > 0)
			continue;
		if (!wrap_hit())
			wrong("prong_fork: %d", (int)j->id);
		j->ended = 1;
	}
	run(p, NULL);
	prong_close(p);
}

/* ---- one run, in a process of its own ---- */

static const struct scenario {
	const char *name;
	void (*run)(void);
} scenarios[] = { { "functions", functions }, { "commands", commands }, { "piped", piped },
	          { "workers", workers },     { "arrays", arrays },     { "forks", forks } };
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void on_alarm(int sig)
{
	static const char text[] = "it hangs\n";
	(void)sig;
	if (write(2, text, sizeof text - 1) < 0 || 1)
		_exit(1);
}

/* Dead children of dead jobs are ours, being a subreaper, to reap; living ones are too many. */
static bool processes_left(void)
{
	pid_t r;
	for (int round = 0; (r = waitpid(-1, NULL, WNOHANG)) >= 0; round++)
		if (r == 0 && round > 50)
			return true;
		else if (r == 0)
			usleep(10000);
	return false;
}

static void one(const struct scenario *s, int call, int e, unsigned k, unsigned more)
{
	unsigned fds = count_fds();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGALRM, on_alarm);
	alarm(HANG_S);
	armed = call;
	error = e;
	wrap_arm(call, e, k, more);
	s->run();
	wrap_disarm();
	for (int i = 0; i < njobs; i++)
		if (jobs[i].pid > 0 && waitpid(jobs[i].pid, NULL, WNOHANG) >= 0)
			wrong("job %d is left", (int)jobs[i].id);
	if (processes_left())
		wrong("a process is left");
	if (count_fds() != fds)
		wrong("%u descriptors were open, %u are now", fds, count_fds());
	if (rmdir(dir) != 0 || mkdir(dir, 0700) != 0)
		wrong("a file is left");
	exit(0);
}

/* What outlived its host is our child now. */
static bool kill_adopted(void)
{
	char name[64];
	bool any = false;
	int pid;
	snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
	for (int round = 0; round < 50 && waitpid(-1, NULL, WNOHANG) >= 0; round++) {
		FILE *f = fopen(name, "r");
		while (f && fscanf(f, "%d", &pid) == 1)
			any |= kill(pid, SIGKILL) == 0;
		if (f)
			fclose(f);
		usleep(10000);
	}
	return any;
}

pid_t __real_waitpid(pid_t pid, int *status, int options); /* by the linker */

/* 1: it held; 0: it did not, and was told. */
static bool held(const struct scenario *s, int call, int error, unsigned k, unsigned more)
{
	int st;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		one(s, call, error, k, more);
	__real_waitpid(pid, &st, 0); /* the traps may be set by now */
	wrap_disarm();
	bool left = kill_adopted();
	if (st == 0 && !left)
		return true;
	fprintf(stderr, "faults: %s %s %d %u %u: status %x%s\n", s->name,
	        call < 0 ? "-" : wrapped_calls[call].name, error, k, more, (unsigned)st,
	        st == 0 ? ": a process is left" : "");
	return false;
}

static unsigned runs, failures;

static void every_k(const struct scenario *s, int call, int error, unsigned more)
{
	for (unsigned k = 1; k < K_MAX; k++) {
		runs++;
		if (!held(s, call, error, k, more))
			failures++;
		if (wrap_seen() < k)
			return; /* there is no k-th */
	}
}

static void every_call(const struct scenario *s, const char *only)
{
	for (int c = 0; c < WRAPPED_N; c++)
		for (int e = 0; e < 2 && wrapped_calls[c].error[e]; e++) {
			if (only && strcmp(only, wrapped_calls[c].name) != 0)
				continue;
			every_k(s, c, wrapped_calls[c].error[e], 0);
			if (wrapped_calls[c].error[e] != EINTR) /* for ever, it is no interrupt */
				every_k(s, c, wrapped_calls[c].error[e], 2);
		}
}

static int find_call(const char *name)
{
	for (int c = 0; c < WRAPPED_N; c++)
		if (!strcmp(name, wrapped_calls[c].name))
			return c;
	return -1;
}

int main(int argc, char **argv)
{
	if (!mkdtemp(dir))
		return 1;
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (unsigned char)(i * 31 + i / 251);
	wrap_open();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; i < SCENARIOS; i++) {
		const struct scenario *s = &scenarios[i];
		unsigned before = runs;
		if (argc > 1 && strcmp(argv[1], s->name) != 0)
			continue;
		if (argc > 4) {
			failures += !held(s, find_call(argv[2]), atoi(argv[3]), (unsigned)atoi(argv[4]),
			                  argc > 5 ? (unsigned)atoi(argv[5]) : 0);
			continue;
		}
		failures += !held(s, -1, 0, 0, 0); /* it works at all */
		every_call(s, argc > 2 ? argv[2] : NULL);
		printf("%s: %u faults\n", s->name, runs - before);
	}
	rmdir(dir);
	printf("%u of %u runs went wrong\n", failures, runs);
	return failures != 0;
}
