/* engine-local.c - jobs are processes of this machine: what starts, ends and is killed.
 *
 * Their streams are in streams.c, one child as such in proc.h, sleeping in ev.h. */
#include "crew.h"
#include "fds.h"
#include "local.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { STRAYS_MS = 500 }; /* how often to look for adopted zombies */

static int64_t now(struct prong *p)
{
	(void)p;
	return pr_now();
}

static int64_t wall(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Cannot fail: the clocks have had their room since the pool was opened. */
static void tick_on(struct prong *p, struct timer *t, int ms)
{
	if (t->at == PR_NEVER)
		pr_timer_set(&p->timers, t, pr_now() + ms * PR_MS);
}

/* lent: the host's, who may change it when we return. */
static char *const *base_env(const struct prong *p, const struct prong_spec *spec, bool *lent)
{
	*lent = !spec->env && !p->opt.env;
	return spec->env ? spec->env : p->opt.env ? p->opt.env : environ;
}

/* ---- functions ---- */

static int function_env(struct prong *p, const struct job *j)
{
	struct local *l = pr_local(p);
	const struct prong_spec *spec = &j->spec;
	bool lent;
	char *const *base = base_env(p, spec, &lent);
	size_t n = 0;
	const char *few[8], **set = few;
	while (spec->setenv && spec->setenv[n])
		n++;
	if (n + 2 > countof(few) && !(set = malloc((n + 2) * sizeof *set)))
		return -ENOMEM;
	pr_seed_env(l->seed_env, p->seed, j->id);
	for (size_t i = 0; i < n; i++)
		set[i] = spec->setenv[i];
	set[n] = l->seed_env; /* last: the caller's own, if there is one, is found first */
	set[n + 1] = NULL;
	int e = pr_env_build(&l->env, base, (char *const *)(uintptr_t)set);
	if (set != few)
		free(set);
	return e;
}

static int prepare_function(struct prong *p, struct slot *s, struct plan *pl)
{
	struct job *j = s->job;
	int e = s->report ? 0 : pr_report_new(pr_local(p), &s->report);
	if (e == 0)
		e = function_env(p, j);
	if (e != 0)
		return e;
	s->report[0] = s->report[1] = 0;
	pl->report = s->report;
	pl->envp = pr_local(p)->env.v;
	pl->fn = j->spec.work ? pr_task_forked : j->spec.fn;
	pl->arg = j->spec.work ? (void *)j : j->spec.arg;
	pl->keep = &pl->result_fd;
	pl->nkeep = 1;
	return 0;
}

/* It ended: was it ever itself? */
static void read_report(struct slot *s)
{
	if (s->job->spec.argv || !s->report || !s->report[0])
		return;
	s->result.how = PRONG_NOTSTARTED;
	s->result.step = s->report[0];
	s->result.status = s->report[1];
}

/* What .work replied comes with the event, whichever engine ran it. */
static void read_reply(struct prong *p, struct slot *s, struct fired *f)
{
	int64_t len = s->result.res.len, n = 0;
	if (!s->job->spec.work || len <= 0)
		return;
	char *b = realloc(p->reply, (size_t)len);
	p->reply = b ? b : p->reply;
	while (b && n < len) {
		ssize_t r = pread(s->result.res.fd, b + n, (size_t)(len - n), n);
		if (r == 0 || (r < 0 && errno != EINTR))
			break;
		n += r > 0 ? r : 0;
	}
	if (n < len) { /* no memory, or unreadable: not as if there were none */
		pr_result_lost(&s->result, b ? EIO : ENOMEM);
		return;
	}
	f->data = b;
	f->len = (size_t)n;
}

/* ---- exits ---- */

static int local_signal(struct prong *p, struct slot *s, int sig)
{
	(void)p;
	if (s->pid <= 0) /* it is just being forked, and a hook of the fork signals it: kill(0) is us */
		return -ESRCH;
	bool group = !(s->job->spec.flags & PRONG_SAME_GROUP);
	return group ? pr_kill_group(s->pid, sig) : kill(s->pid, sig) == 0 ? 0 : -errno;
}

/* At once and for good.  The leader is running or a zombie. */
static void kill_strays(struct slot *s)
{
	const struct prong_spec *spec = &s->job->spec;
	struct sweep_target t = { .leader = s->pid, .mark = spec->mark,
		                  .session = spec->flags & PRONG_NEW_SESSION,
		                  .group = !(spec->flags & PRONG_SAME_GROUP) };
	for (int i = 0; i < 50 && pr_out_of_resources(pr_sweep(&t, SIGKILL)); i++)
		usleep(1000);
}

static void end_group(struct prong *p, struct slot *s)
{
	s->job->state = JOB_STOPPING;
	if (pr_ending_of_rest(p, s) != 0) { /* no memory to be gentle */
		kill(-s->pid, SIGKILL);
		kill_strays(s);
		pr_reap(s->pid);
	}
}

static int stop(struct prong *p, struct slot *s)
{
	if (s->pid <= 0)
		return -ESRCH;
	int e = pr_ending_begin(p, s);
	if (e == 0)
		return 0;
	local_signal(p, s, SIGKILL);
	kill_strays(s);
	s->result.sent = SIGKILL;
	return 0;
}

static bool check_exit(struct prong *p, struct slot *s)
{
	struct local *l = pr_local(p);
	bool sweep = s->job->spec.flags & PRONG_SWEEP;
	if (s->exited || !pr_peek(s->pid, s->exit.fd, s->ending || sweep, &s->result))
		return false;
	s->exited = true;
	if (s->exit.fd < 0 && --l->no_pidfd == 0)
		pr_timer_set(&p->timers, &l->tick, PR_NEVER); /* or it wakes an idle host */
	pr_ev_end(p->ev, &s->exit);
	if (s->ending)
		pr_ending_leader_gone(p, s);
	else if (sweep)
		end_group(p, s);
	return true;
}

static int start(struct prong *p, struct slot *s);

/* The child ended on its way to exec, as start() would have told. */
static int unstarted(struct prong *p, struct slot *s, struct fired *f)
{
	struct job *j = s->job;
	int e = -s->start_error;
	bool moved = e == -ENOENT && s->result.step == PRONG_STEP_EXEC && !j->spec.path &&
	             !strchr(j->spec.argv[0], '/') && j->state != JOB_STOPPING;
	pr_streams_abandon(p, s);
	s->pid = s->result.pid = 0;
	j->here = true;
	if (moved) { /* since we found it in $PATH */
		pr_paths_forget(&pr_local(p)->paths);
		s->exited = false;
		if ((e = start(p, s)) == 0)
			return 0;
	}
	*f = (struct fired){ .kind = FIRED_UNSTARTED, .slot = s, .error = e };
	return 1;
}

static int finished(struct prong *p, struct slot *s, struct fired *f)
{
	pr_streams_settle(p, s);
	*f = (struct fired){ .kind = FIRED_EXIT, .slot = s };
	read_report(s);
	read_reply(p, s, f);
	return 1;
}

static int drain(struct prong *p, struct fired *f)
{
	struct local *l = pr_local(p);
	struct slot *s = l->draining;
	if (pr_streams_drain(p, s, f))
		return 1;
	l->draining = NULL;
	return finished(p, s, f);
}

static int exit_fired(struct prong *p, struct slot *s, struct fired *f)
{
	if (!s->job)
		return 0;
	if (!check_exit(p, s)) { /* readable, and not for us to collect: a tracer comes first */
		if (s->exit.fd >= 0 && !s->exited)
			pr_ev_watch(p->ev, &s->exit, PRONG_READ);
		return 0;
	}
	pr_pad_settle(s);
	if (s->start_error)
		return unstarted(p, s, f);
	if (!pr_streams_measure(s))
		return finished(p, s, f);
	pr_local(p)->draining = s;
	return drain(p, f);
}

static int exit_ready(struct prong *p, struct watch *w, struct fired *f)
{
	return exit_fired(p, w->of, f);
}

/* ---- start ---- */

static int prepare_command(struct prong *p, struct slot *s, struct start *st)
{
	const struct prong_spec *spec = &s->job->spec;
	struct plan *pl = &st->plan;
	struct local *l = pr_local(p);
	st->pad = pr_pad_take(l, s->job);
	struct env *env = st->pad ? &st->pad->env : &l->env;
	bool lent;
	char *const *base = base_env(p, spec, &lent);
	int error = 0, e = pr_env_build(env, base, spec->setenv);
	if (e == 0 && lent && st->pad)
		e = pr_env_own(env);
	if (e == 0)
		e = pr_need(&l->stack, STACK_SIZE);
	pl->argv = spec->argv;
	pl->envp = env->v;
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
	pl->fork = p->opt.fork;
	pl->fork_arg = p->opt.fork_arg;
	pl->deathsig = p->opt.flags & PRONG_DEATHSIG;
	pr_plan_mask(p, pl);
}

void pr_plan_mask(const struct prong *p, struct plan *pl)
{
	if (p->opt.sigmask)
		pl->mask = p->sigmask;
	else
		pr_sigmask(NULL, &pl->mask);
}

/* The table of what was found in $PATH may be forgotten while the child is on its way. */
static bool own_path(struct pad *pad, const struct prong_spec *spec)
{
	const char *path = pad->plan.path;
	size_t len = strlen(path) + 1;
	if (path == spec->path || path == spec->argv[0])
		return true; /* the job's */
	if (len > sizeof pad->path)
		return false;
	pad->plan.path = memcpy(pad->path, path, len);
	return true;
}

static pid_t spawn_apart(struct slot *s, struct start *st, int *pidfd)
{
	struct pad *pad = st->pad;
	if (!pad)
		return -ENOTSUP;
	pad->plan = st->plan;
	if (!own_path(pad, &s->job->spec))
		return -ENOTSUP;
	pid_t pid = pr_spawn_apart(&pad->plan, pad->stack + PAD_STACK, &pad->way, pidfd);
	if (pid > 0) {
		pad->of = s;
		s->pad = pad;
	} else if (pid != -ENOTSUP) {
		st->plan.step = PRONG_STEP_FORK;
	}
	return pid;
}

static int spawn(struct prong *p, struct slot *s, struct start *st)
{
	struct local *l = pr_local(p);
	const struct prong_spec *spec = &s->job->spec;
	int pidfd;
	s->result.start_ns = wall();
	pid_t pid = spawn_apart(s, st, &pidfd);
	if (pid == -ENOTSUP)
		pid = pr_spawn(&st->plan, l->stack + STACK_SIZE, &pidfd);
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
	if (pid <= 0)
		return pid == 0 ? PR_IN_CHILD : pid;
	s->pid = s->result.pid = pid;
	s->exit = (struct watch){ .fd = pr_fd_mark(pidfd), .fire = exit_ready, .of = s };
	if (pidfd >= 0 && pr_ev_watch(p->ev, &s->exit, PRONG_READ | PR_ONCE) != 0)
		pr_ev_end(p->ev, &s->exit);
	return 0;
}

static int start(struct prong *p, struct slot *s)
{
	struct start st = { .to_close = { -1, -1, -1 } };
	struct local *l = pr_local(p);
	const struct prong_spec *spec = &s->job->spec;
	s->pad = NULL;
	s->start_error = 0;
	fill_plan(p, spec, &st.plan);
	int e = pr_streams_open(p, s, &st);
	if (e == 0)
		e = spec->argv ? prepare_command(p, s, &st)
		               : prepare_function(p, s, &st.plan);
	if (e == 0)
		e = spawn(p, s, &st);
	if (e == PR_IN_CHILD)
		return e;
	pr_streams_given(s, &st);
	if (e != 0) {
		pr_streams_abandon(p, s);
		return e;
	}
	if (s->exit.fd < 0 && l->no_pidfd++ == 0)
		tick_on(p, &l->tick, pr_exits_tick());
	if (p->opt.flags & PRONG_REAP_STRAYS)
		tick_on(p, &l->strays, STRAYS_MS);
	return 0;
}

/* ---- strays and old kernels: things looked at by the clock ---- */

static bool ours(const struct prong *p, pid_t pid)
{
	for (unsigned i = 0; i < p->nslots; i++)
		if (p->slots[i]->job && p->slots[i]->pid == pid)
			return true;
	if (pr_ending_owns(p, pid) || pr_crew_owns(p, pid))
		return true;
	return p->opt.spare && ours(p->opt.spare, pid);
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
	pr_timer_set(&p->timers, t, pr_now() + STRAYS_MS * PR_MS);
}

static void look(struct local *l)
{
	l->look = true;
	l->look_at = 0;
}

static int exits_heard(struct prong *p, struct watch *w, struct fired *f)
{
	char buf[256];
	(void)f;
	while (read(w->fd, buf, sizeof buf) > 0)
		;
	look(pr_local(p));
	return 0;
}

static void tick(struct prong *p, struct timer *t)
{
	look(pr_local(p));
	pr_timer_set(&p->timers, t, PR_NEVER);
	if (pr_local(p)->no_pidfd)
		tick_on(p, t, pr_exits_tick());
}

static int poll_exits(struct prong *p, struct fired *f)
{
	struct local *l = pr_local(p);
	while (l->look && l->no_pidfd && l->look_at < p->nslots) {
		struct slot *s = p->slots[l->look_at++];
		if (s->job && s->pid && s->exit.fd < 0 && !s->exited && exit_fired(p, s, f))
			return 1;
	}
	l->look = false;
	return 0;
}

/* ---- the loop's turn ---- */

static int timeout_ms(int64_t until)
{
	if (until == PR_NEVER || until == 0)
		return until == 0 ? 0 : -1;
	int64_t ms = (until - pr_now() + PR_MS - 1) / PR_MS;
	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static int local_wait(struct prong *p, int64_t until, struct fired *f)
{
	struct watch *w;
	if (pr_local(p)->draining)
		return drain(p, f);
	if (poll_exits(p, f))
		return 1;
	pr_ev_deadline(p->ev, pr_deadline(p));
	int n = pr_ev_sleep(p->ev, timeout_ms(until));
	if (n <= 0)
		return n;
	while ((w = pr_ev_next(p->ev)))
		if (w->fire(p, w, f))
			return 1;
	return 1; /* something was done; nothing to tell */
}

static void release(struct prong *p, struct slot *s)
{
	pr_streams_close(p, s);
	s->pid = 0;
}

/* ---- opening and closing ---- */

static int hear_exits(struct prong *p)
{
	int fd = pr_exits_open();
	if (fd < 0)
		return fd == -ENOTSUP ? 0 : fd;
	pr_local(p)->exits = (struct watch){ .fd = fd, .fire = exits_heard };
	return pr_ev_watch(p->ev, &pr_local(p)->exits, PRONG_READ);
}

static int clocks_open(struct prong *p)
{
	struct local *l = pr_local(p);
	l->strays.fire = reap_strays;
	l->tick.fire = tick;
	int e = pr_timer_set(&p->timers, &l->strays, PR_NEVER);
	return e ? e : pr_timer_set(&p->timers, &l->tick, PR_NEVER);
}

static int local_open(struct prong *p)
{
	struct local *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	int e;
	p->engine = l;
	l->exits.fd = -1;
	l->null = pr_fd_mark(open("/dev/null", O_RDWR | O_CLOEXEC));
	e = l->null < 0 ? -errno : 0;
	pr_vessels_open(&l->vessels, p->tmpdir);
	if (e == 0)
		e = clocks_open(p);
	if (e == 0)
		e = pr_ev_open(&p->ev);
	if (e == 0)
		e = hear_exits(p);
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
		local_signal(p, s, SIGKILL);
		if (s->job->spec.mark)
			kill_strays(s);
		pr_reap(s->pid);
	}
}

static void local_close(struct prong *p)
{
	struct local *l = pr_local(p);
	if (*p->alive) { /* in a forked copy the jobs are not ours to kill */
		pr_endings_kill(p);
		kill_running(p);
		pr_exits_close(l->exits.fd);
	} else {
		pr_fd_close(&l->exits.fd);
	}
	/* The set first: a forked copy shares it, and must take nothing out of it. */
	pr_ev_close(p->ev);
	p->ev = NULL;
	pr_timer_cancel(&p->timers, &l->strays);
	pr_timer_cancel(&p->timers, &l->tick);
	for (unsigned i = 0; i < p->nslots; i++) {
		for (int k = 0; k < NSTREAMS; k++) {
			pr_fd_close(&p->slots[i]->st[k].pipe.fd);
			pr_fd_close(&p->slots[i]->st[k].file.fd);
		}
		pr_fd_close(&p->slots[i]->exit.fd);
	}
	pr_vessels_close(&l->vessels);
	pr_paths_free(&l->paths);
	pr_fd_close(&l->null);
	pr_unneed(l->stack, STACK_SIZE);
	pr_unneed(l->io, IO_SIZE);
	pr_reports_free(l);
	pr_env_free(&l->env);
	pr_pads_free(l);
	free(l);
	p->engine = NULL;
}

const struct engine_ops pr_engine_local = {
	.open = local_open,
	.now = now,
	.start = start,
	.wait = local_wait,
	.stop = stop,
	.signal = local_signal,
	.release = release,
	.close = local_close,
};
