/* engine-local.c - jobs are processes of this machine: spawn, epoll, pidfd, capture.
 *
 * Owns the epoll set, the child's stack, the capture files.  Sleeps only in epoll_wait. */
#include "engine.h"
#include "path.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum watch_kind { WATCH_EXIT, WATCH_STREAM, WATCH_WAKE, WATCH_TIMER, WATCH_HOST };
enum {
	STACK_SIZE = 64 * 1024,
	IO_SIZE = 64 * 1024,
	BATCH = 64,
	STRAYS_MS = 500, /* how often to look for adopted zombies */
	TICK_MS = 5      /* where there are no pidfds: how often to look for exits */
};

struct host_watch {
	struct host_watch *next;
	struct watch w;
};

struct local {
	int ep, null;
	struct watch wake, alarm; /* eventfd; timerfd, made when prong_fd() is asked for */
	int64_t armed;
	struct epoll_event batch[BATCH];
	int nbatch, ibatch;
	char *stack, *io;
	char **env; /* scratch: environment of the job being started */
	size_t env_cap;
	struct paths *paths;
	struct vessels vessels;
	struct host_watch *hosts;
	struct slot *draining; /* exited, its pipes hold what it wrote last */
	struct timer strays, tick;
	unsigned no_pidfd; /* running jobs without one */
};

static struct local *local(const struct prong *p)
{
	return p->engine;
}

static int64_t now(struct prong *p)
{
	struct timespec ts;
	(void)p;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int64_t wall(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int watch(struct local *l, struct watch *w, int on)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = w };
	int op = on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
	return epoll_ctl(l->ep, op, w->fd, &ev) == 0 ? 0 : -errno;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- the environment of a job ---- */

static size_t name_len(const char *s)
{
	return strcspn(s, "=");
}

static bool overridden(const char *var, char *const *by)
{
	size_t n = name_len(var);
	for (; by && *by; by++)
		if (!strncmp(var, *by, n + 1) || (name_len(*by) == n && !strncmp(var, *by, n)))
			return true;
	return false;
}

static int build_env(struct local *l, char *const *base, char *const *extra)
{
	size_t n = 1;
	for (char *const *e = base; *e; e++)
		n++;
	for (char *const *e = extra; e && *e; e++)
		n++;
	if (n > l->env_cap) {
		char **v = realloc(l->env, n * 2 * sizeof *v);
		if (!v)
			return -ENOMEM;
		l->env = v;
		l->env_cap = n * 2;
	}
	char **out = l->env;
	for (; *base; base++)
		if (!overridden(*base, extra))
			*out++ = *base;
	for (; extra && *extra; extra++)
		*out++ = *extra;
	*out = NULL;
	return 0;
}

/* ---- streams ---- */

static int open_pipe(struct local *l, struct slot *s, int i, struct plan_fd *to)
{
	int fd[2];
	struct stream *st = &s->st[i];
	if (pipe2(fd, O_CLOEXEC) != 0)
		return -errno;
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	st->pipe = (struct watch){ .kind = WATCH_STREAM, .fd = fd[0], .slot = s, .stream = i };
	st->drain = -1;
	st->spilled = 0;
	to->fd = fd[1];
	return watch(l, &st->pipe, 1);
}

struct start {
	struct plan plan;
	char path[NSTREAMS][40];
	int to_close[NSTREAMS]; /* the children's ends of pipes */
};

static int open_file(struct local *l, struct slot *s, int i, struct start *st, struct plan_fd *to)
{
	int e = pr_vessel_get(&l->vessels, &s->st[i].file);
	if (e != 0)
		return e;
	int fd = s->st[i].file.fd;
	to->fd = fd;
	if (s->st[i].file.own_open) {
		snprintf(st->path[i], sizeof st->path[i], "/proc/%d/fd/%d", (int)getpid(), fd);
		to->open = st->path[i];
	}
	return 0;
}

static int open_stream(struct prong *p, struct slot *s, int i, struct prong_stdio io,
                       struct start *st, struct plan_fd *to)
{
	struct local *l = local(p);
	bool spill = p->opt.flags & PRONG_CAPTURE_PIPE;
	int e = 0;
	*to = (struct plan_fd){ .fd = -1 };
	switch (io.how) {
	case PRONG_NULL:
		to->fd = l->null;
		break;
	case PRONG_FD:
		to->fd = io.fd;
		break;
	case PRONG_MERGE:
		st->plan.merge = true;
		break;
	case PRONG_DEFAULT:
	case PRONG_FILE:
		e = open_file(l, s, i, st, to);
		if (e != 0 || !spill)
			return e;
		to->open = NULL;
		/* fallthrough */
	case PRONG_PIPE:
		e = open_pipe(l, s, i, to);
		s->st[i].spill = io.how != PRONG_PIPE;
		st->to_close[i] = to->fd;
		break;
	default:
		break;
	}
	return e;
}

static void close_streams(struct local *l, struct slot *s)
{
	struct prong_captured *cap[] = { &s->result.out, &s->result.err, &s->result.res };
	for (int i = 0; i < NSTREAMS; i++) {
		close_fd(&s->st[i].pipe.fd);
		pr_vessel_put(&l->vessels, &s->st[i].file, cap[i]->len);
	}
}

/* ---- start ---- */

static int prepare_streams(struct prong *p, struct slot *s, struct start *st)
{
	const struct prong_spec *spec = &s->job->spec;
	struct plan *pl = &st->plan;
	pl->in.fd = spec->in.how == PRONG_INHERIT ? -1
	            : spec->in.how == PRONG_FD    ? spec->in.fd
	                                          : local(p)->null;
	int e = open_stream(p, s, STREAM_OUT, spec->out, st, &pl->out);
	if (e == 0)
		e = open_stream(p, s, STREAM_ERR, spec->err, st, &pl->err);
	if (e == 0 && spec->fn) {
		e = pr_vessel_get(&local(p)->vessels, &s->st[STREAM_RES].file);
		s->st[STREAM_RES].file.own_open = false; /* the child writes by our own open */
		pl->result_fd = s->st[STREAM_RES].file.fd;
	}
	if (e != 0)
		s->result.step = PRONG_STEP_CAPTURE;
	return e;
}

static int prepare_command(struct prong *p, struct slot *s, struct plan *pl)
{
	const struct prong_spec *spec = &s->job->spec;
	struct local *l = local(p);
	char *const *base = spec->env ? spec->env : p->opt.env ? p->opt.env : environ;
	int error = 0, e = build_env(l, base, spec->setenv);
	pl->argv = spec->argv;
	pl->envp = l->env;
	pl->path = spec->path ? spec->path : pr_paths_find(&l->paths, spec->argv[0], &error);
	if (e == 0 && !pl->path) {
		s->result.step = PRONG_STEP_EXEC;
		e = -error;
	}
	return e;
}

static void fill_plan(struct prong *p, const struct prong_spec *spec, struct plan *pl)
{
	pl->cwd = spec->cwd;
	pl->pass_fds = spec->pass_fds;
	pl->npass_fds = spec->npass_fds;
	pl->flags = spec->flags;
	pl->reset_handlers = !(p->opt.flags & PRONG_NO_HANDLERS);
	pl->nice = spec->nice;
	pl->tty_fd = spec->tty_fd;
	pl->fn = spec->fn;
	pl->arg = spec->arg;
	pl->fork = p->opt.fork;
	pl->fork_arg = p->opt.fork_arg;
	if (p->opt.sigmask)
		pl->mask = p->sigmask;
	else
		sigprocmask(SIG_SETMASK, NULL, &pl->mask);
}

static int spawn(struct prong *p, struct slot *s, struct start *st)
{
	struct local *l = local(p);
	const struct prong_spec *spec = &s->job->spec;
	int pidfd;
	s->result.start_ns = wall();
	pid_t pid = pr_spawn(&st->plan, l->stack + STACK_SIZE, &pidfd);
	if (pid == -ENOENT && st->plan.step == PRONG_STEP_EXEC && !spec->path &&
	    st->plan.path != spec->argv[0]) {
		pr_paths_forget(&l->paths); /* the file moved since we found it */
		int error;
		st->plan.path = pr_paths_find(&l->paths, spec->argv[0], &error);
		if (!st->plan.path)
			return -error;
		pid = pr_spawn(&st->plan, l->stack + STACK_SIZE, &pidfd);
	}
	s->result.step = st->plan.step;
	if (pid < 0)
		return pid;
	s->pid = s->result.pid = pid;
	s->exit = (struct watch){ .kind = WATCH_EXIT, .fd = pidfd, .slot = s };
	if (pidfd >= 0 && watch(l, &s->exit, 1) != 0)
		close_fd(&s->exit.fd);
	return 0;
}

static void tick_on(struct prong *p, struct timer *t, int ms)
{
	if (!t->pos)
		pr_timer_set(&p->timers, t, now(p) + ms * PR_MS);
}

static int start(struct prong *p, struct slot *s)
{
	struct start st = { .to_close = { -1, -1, -1 } };
	struct local *l = local(p);
	const struct prong_spec *spec = &s->job->spec;
	fill_plan(p, spec, &st.plan);
	int e = prepare_streams(p, s, &st);
	if (e == 0 && !spec->fn)
		e = prepare_command(p, s, &st.plan);
	if (e == 0)
		e = spawn(p, s, &st);
	for (int i = 0; i < NSTREAMS; i++)
		close_fd(&st.to_close[i]);
	if (e != 0) {
		for (int i = 0; i < NSTREAMS; i++)
			s->st[i].file.unshared = true; /* never given to anybody */
		close_streams(l, s);
		return e;
	}
	if (s->exit.fd < 0 && l->no_pidfd++ == 0)
		tick_on(p, &l->tick, TICK_MS);
	if (p->opt.flags & PRONG_REAP_STRAYS)
		tick_on(p, &l->strays, STRAYS_MS);
	return 0;
}

/* ---- exits ---- */

static void settle(struct local *l, struct slot *s)
{
	struct prong_captured *cap[] = { &s->result.out, &s->result.err, &s->result.res };
	for (int i = 0; i < NSTREAMS; i++) {
		struct vessel *v = &s->st[i].file;
		if (v->fd < 0)
			continue;
		cap[i]->fd = v->fd;
		pr_vessel_settle(&l->vessels, v, &cap[i]->len);
		v->unshared |= s->st[i].spill; /* no child ever saw it */
	}
}

/* What the job wrote before it ended is in the pipe now; later output is not waited for. */
static bool measure_pipes(struct slot *s)
{
	bool any = false;
	for (int i = 0; i < NSTREAMS; i++) {
		int n = 0;
		if (s->st[i].pipe.fd < 0)
			continue;
		if (ioctl(s->st[i].pipe.fd, FIONREAD, &n) != 0)
			n = 0;
		s->st[i].drain = n;
		any |= n > 0;
	}
	return any;
}

static void end_group(struct prong *p, struct slot *s)
{
	s->job->state = JOB_STOPPING;
	if (pr_ending_of_rest(p, s) != 0) {
		kill(-s->pid, SIGKILL);
		pr_reap(s->pid);
	}
}

static bool check_exit(struct prong *p, struct slot *s)
{
	struct local *l = local(p);
	bool sweep = s->job->spec.flags & PRONG_SWEEP;
	if (s->exited || !pr_peek(s->pid, s->exit.fd, s->ending || sweep, &s->result))
		return false;
	s->exited = true;
	if (s->exit.fd < 0)
		l->no_pidfd--;
	close_fd(&s->exit.fd);
	if (s->ending)
		pr_ending_leader_gone(p, s);
	else if (sweep)
		end_group(p, s);
	return true;
}

static int finished(struct prong *p, struct slot *s, struct fired *f)
{
	for (int i = 0; i < NSTREAMS; i++)
		close_fd(&s->st[i].pipe.fd);
	settle(local(p), s);
	*f = (struct fired){ .kind = FIRED_EXIT, .slot = s };
	return 1;
}

/* ---- output through pipes ---- */

static int spill(struct stream *st, const char *data, size_t n)
{
	while (n) {
		ssize_t w = pwrite(st->file.fd, data, n, st->spilled);
		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0) {
			data += w;
			n -= (size_t)w;
			st->spilled += w;
		}
	}
	return 0;
}

/* 1: *f has output for the host.  A file that cannot take it ends the stream: the writer
 * gets SIGPIPE rather than losing bytes unseen. */
static int read_stream(struct local *l, struct slot *s, int i, struct fired *f)
{
	struct stream *st = &s->st[i];
	size_t want = st->drain >= 0 && st->drain < IO_SIZE ? (size_t)st->drain : IO_SIZE;
	if (st->pipe.fd < 0 || !want)
		return 0;
	ssize_t n = read(st->pipe.fd, l->io, want);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || (st->spill && spill(st, l->io, (size_t)n) != 0)) {
		close_fd(&st->pipe.fd);
		return 0;
	}
	if (st->drain >= 0)
		st->drain -= n;
	if (st->spill)
		return 0;
	*f = (struct fired){ .kind = FIRED_OUTPUT, .slot = s, .stream = i,
		             .data = l->io, .len = (size_t)n };
	return 1;
}

static int drain(struct prong *p, struct fired *f)
{
	struct local *l = local(p);
	struct slot *s = l->draining;
	for (int i = 0; i < NSTREAMS; i++)
		while (s->st[i].pipe.fd >= 0 && s->st[i].drain > 0) {
			int64_t before = s->st[i].drain;
			if (read_stream(l, s, i, f))
				return 1;
			if (s->st[i].drain == before)
				s->st[i].drain = 0; /* somebody else took it */
		}
	l->draining = NULL;
	return finished(p, s, f);
}

static int exit_fired(struct prong *p, struct slot *s, struct fired *f)
{
	if (!s->job || !check_exit(p, s))
		return 0;
	if (!measure_pipes(s))
		return finished(p, s, f);
	local(p)->draining = s;
	return drain(p, f);
}

/* ---- strays and old kernels: things looked at by the clock ---- */

static bool ours(const struct prong *p, pid_t pid)
{
	for (unsigned i = 0; i < p->nslots; i++)
		if (p->slots[i]->job && p->slots[i]->pid == pid)
			return true;
	return pr_ending_owns(p, pid);
}

/* Orphans we adopted as a subreaper must not stay zombies.  One of our own jobs in front
 * hides those behind it until the next look: it is about to be reaped. */
static void reap_strays(struct prong *p, struct timer *t)
{
	siginfo_t si = { 0 };
	while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid != 0 &&
	       !ours(p, si.si_pid)) {
		pr_reap(si.si_pid);
		si.si_pid = 0;
	}
	pr_timer_set(&p->timers, t, now(p) + STRAYS_MS * PR_MS);
}

static void tick(struct prong *p, struct timer *t)
{
	if (local(p)->no_pidfd)
		pr_timer_set(&p->timers, t, now(p) + TICK_MS * PR_MS);
}

static int poll_exits(struct prong *p, struct fired *f)
{
	struct local *l = local(p);
	for (unsigned i = 0; l->no_pidfd && i < p->nslots; i++) {
		struct slot *s = p->slots[i];
		if (s->job && s->pid && s->exit.fd < 0 && !s->exited && exit_fired(p, s, f))
			return 1;
	}
	return 0;
}

/* ---- the loop's turn ---- */

static void eat(int fd)
{
	uint64_t n;
	while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
		;
}

static int fired(struct prong *p, struct watch *w, struct fired *f)
{
	struct local *l = local(p);
	if (w->fd < 0)
		return 0; /* closed by an earlier one of the same batch */
	switch ((enum watch_kind)w->kind) {
	case WATCH_EXIT:
		return exit_fired(p, w->slot, f);
	case WATCH_STREAM:
		return read_stream(l, w->slot, w->stream, f);
	case WATCH_WAKE:
		eat(w->fd);
		*f = (struct fired){ .kind = FIRED_WAKE };
		return 1;
	case WATCH_TIMER:
		eat(w->fd);
		l->armed = PR_NEVER;
		return 0;
	case WATCH_HOST:
		*f = (struct fired){ .kind = FIRED_HOST, .watch = w };
		return 1;
	}
	return 0;
}

/* The host sleeps on our fd: our deadlines must show there. */
static void arm(struct prong *p)
{
	struct local *l = local(p);
	int64_t at = pr_timer_next(&p->timers);
	if (p->hold && p->hold < at)
		at = p->hold;
	if (l->alarm.fd < 0 || at == l->armed)
		return;
	struct itimerspec its = { 0 };
	if (at != PR_NEVER) {
		int64_t ns = at > 0 ? at : 1;
		its.it_value.tv_sec = ns / INT64_C(1000000000);
		its.it_value.tv_nsec = ns % INT64_C(1000000000);
	}
	timerfd_settime(l->alarm.fd, TFD_TIMER_ABSTIME, &its, NULL);
	l->armed = at;
}

static int timeout_ms(struct prong *p, int64_t until)
{
	if (until == PR_NEVER || until == 0)
		return until == 0 ? 0 : -1;
	int64_t ms = (until - now(p) + PR_MS - 1) / PR_MS;
	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static int local_wait(struct prong *p, int64_t until, struct fired *f)
{
	struct local *l = local(p);
	if (l->draining)
		return drain(p, f);
	if (poll_exits(p, f))
		return 1;
	if (l->ibatch == l->nbatch) {
		arm(p);
		l->ibatch = l->nbatch = 0;
		int n = epoll_wait(l->ep, l->batch, BATCH, timeout_ms(p, until));
		if (n <= 0)
			return n == 0 || errno == EINTR ? 0 : -errno;
		l->nbatch = n;
	}
	while (l->ibatch < l->nbatch)
		if (fired(p, l->batch[l->ibatch++].data.ptr, f))
			return 1;
	return 1; /* something was done; nothing to tell */
}

static int local_signal(struct prong *p, struct slot *s, int sig)
{
	(void)p;
	bool group = !(s->job->spec.flags & PRONG_SAME_GROUP);
	return kill(group ? -s->pid : s->pid, sig) == 0 ? 0 : -errno;
}

static void release(struct prong *p, struct slot *s)
{
	close_streams(local(p), s);
	s->pid = 0;
}

/* ---- opening and closing ---- */

static int local_open(struct prong *p)
{
	struct local *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	p->engine = l;
	l->armed = PR_NEVER;
	l->alarm.fd = -1;
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	l->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	l->wake = (struct watch){ .kind = WATCH_WAKE, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	l->io = malloc(IO_SIZE);
	l->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
	                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	l->strays.fire = reap_strays;
	l->tick.fire = tick;
	pr_vessels_open(&l->vessels, p->tmpdir);
	int e = 0;
	if (l->ep < 0 || l->null < 0 || l->wake.fd < 0)
		e = -errno;
	else if (!l->io || l->stack == MAP_FAILED)
		e = -ENOMEM;
	else
		e = watch(l, &l->wake, 1);
	if (e != 0)
		pr_engine_local.close(p);
	return e;
}

static void kill_running(struct prong *p)
{
	for (unsigned i = 0; i < p->nslots; i++) {
		struct slot *s = p->slots[i];
		if (!s->job || !s->pid || s->exited)
			continue;
		const struct prong_spec *spec = &s->job->spec;
		struct sweep_target t = { .leader = s->pid, .mark = spec->mark,
			                  .session = spec->flags & PRONG_NEW_SESSION,
			                  .group = !(spec->flags & PRONG_SAME_GROUP) };
		local_signal(p, s, SIGKILL);
		if (t.mark)
			pr_sweep(&t, SIGKILL);
		pr_reap(s->pid);
	}
}

static void local_close(struct prong *p)
{
	struct local *l = local(p);
	if (*p->alive) { /* in a forked copy the jobs are not ours to kill */
		pr_endings_kill(p);
		kill_running(p);
	}
	for (unsigned i = 0; i < p->nslots; i++) {
		for (int k = 0; k < NSTREAMS; k++) {
			close_fd(&p->slots[i]->st[k].pipe.fd);
			close_fd(&p->slots[i]->st[k].file.fd);
		}
		close_fd(&p->slots[i]->exit.fd);
	}
	for (struct host_watch *h; (h = l->hosts); free(h))
		l->hosts = h->next;
	pr_vessels_close(&l->vessels);
	pr_paths_free(&l->paths);
	close_fd(&l->wake.fd);
	close_fd(&l->alarm.fd);
	close_fd(&l->null);
	close_fd(&l->ep);
	if (l->stack && l->stack != MAP_FAILED)
		munmap(l->stack, STACK_SIZE);
	free(l->io);
	free(l->env);
	free(l);
	p->engine = NULL;
}

int pr_local_fd(struct prong *p)
{
	struct local *l = local(p);
	if (p->ops != &pr_engine_local)
		return -ENOTSUP;
	if (l->alarm.fd < 0) {
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		l->alarm = (struct watch){ .kind = WATCH_TIMER, .fd = fd };
		int e = watch(l, &l->alarm, 1);
		if (e != 0)
			return e;
		arm(p);
	}
	return l->ep;
}

int pr_local_watch(struct prong *p, int fd, bool on, void *tag)
{
	struct local *l = local(p);
	struct host_watch *h = l->hosts;
	if (p->ops != &pr_engine_local)
		return -ENOTSUP;
	while (h && h->w.fd != fd)
		h = h->next;
	if (!on && !h)
		return -ENOENT;
	if (!on) {
		int e = watch(l, &h->w, 0);
		h->w.fd = -1; /* kept: the current batch may name it */
		p->nwatched--;
		return e;
	}
	if (h) {
		h->w.tag = tag;
		return 0;
	}
	for (h = l->hosts; h && h->w.fd >= 0; h = h->next)
		;
	if (!h) {
		h = calloc(1, sizeof *h);
		if (!h)
			return -ENOMEM;
		h->w.fd = -1;
		h->next = l->hosts;
		l->hosts = h;
	}
	struct watch w = { .kind = WATCH_HOST, .fd = fd, .tag = tag };
	h->w = w;
	int e = watch(l, &h->w, 1);
	if (e == 0)
		p->nwatched++;
	else
		h->w.fd = -1;
	return e;
}

int pr_local_wake(struct prong *p)
{
	uint64_t one = 1;
	if (p->ops != &pr_engine_local)
		return -ENOTSUP;
	return write(local(p)->wake.fd, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

const struct engine_ops pr_engine_local = {
	.name = "local",
	.open = local_open,
	.now = now,
	.start = start,
	.wait = local_wait,
	.stop = pr_ending_begin,
	.signal = local_signal,
	.release = release,
	.close = local_close,
};
