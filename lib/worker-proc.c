/* worker-proc.c - a standing worker as a process of the host: fork it, wake it, end it. */
#include "crew-private.h"
#include "fds.h"
#include "local.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	FILE_SIZE = 256 * 1024, /* of payloads and of replies, at first */
	KILL_MS = 100           /* how often a SIGKILL is repeated */
};

/* ---- what it tells ---- */

void pr_worker_look(struct prong *p, struct worker *w)
{
	bool keep = w->why != 0;
	if (w->gone || !pr_peek(w->pid, w->exit.fd, keep, &w->cert))
		return;
	/* As long as it is a zombie its group cannot be another's. */
	if (keep)
		pr_kill_group(w->pid, SIGKILL);
	if (keep && w->cert.how != PRONG_LOST)
		pr_reap(w->pid);
	w->gone = true;
	pr_ev_end(p->ev, &w->exit);
	pr_ev_watch(p->ev, &w->sock, 0);
	pr_timer_cancel(&p->timers, &w->ending);
	pr_timer_cancel(&p->timers, &w->deadline);
	p->hungry = true;
}

static int exit_ready(struct prong *p, struct watch *w, struct fired *f)
{
	(void)f;
	pr_worker_look(p, w->of);
	return 0;
}

/* A byte: results.  The end: it is dead or dying, or a task closed what is not its own.  Where no
 * pidfd tells when it is dead, this is told again until it is. */
static int sock_ready(struct prong *p, struct watch *watch, struct fired *f)
{
	struct worker *w = watch->of;
	char bytes[64];
	(void)f;
	if (recv(watch->fd, bytes, sizeof bytes, MSG_DONTWAIT) != 0)
		return 0;
	if (w->exit.fd >= 0)
		pr_ev_watch(p->ev, watch, 0);
	kill(w->pid, SIGKILL);
	pr_worker_look(p, w);
	return 0;
}

static void send_byte(struct worker *w)
{
	send(w->sock.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void pr_worker_wake(struct worker *w)
{
	uint32_t how = AWAKE;
	if (atomic_load(&w->ch->asleep) != AWAKE)
		how = atomic_exchange(&w->ch->asleep, AWAKE);
	if (how == NAPS)
		pr_rouse(&w->ch->asleep);
	else if (how == SLEEPS)
		send_byte(w);
}

void pr_worker_force(struct worker *w)
{
	if (atomic_exchange(&w->ch->asleep, AWAKE) == NAPS)
		pr_rouse(&w->ch->asleep);
	send_byte(w);
}

/* ---- its end ---- */

void pr_worker_retire(struct worker *w)
{
	if (w->retiring)
		return;
	w->retiring = true;
	atomic_store(&w->ch->quit, 1);
	pr_worker_force(w);
}

static void ending_step(struct prong *p, struct timer *t)
{
	struct worker *w = container_of(t, struct worker, ending);
	int sig = SIGKILL;
	int64_t ms = KILL_MS;
	if (*w->termseq_at)
		pr_termseq_next(&w->termseq_at, &sig, &ms);
	pr_kill_group(w->pid, sig);
	if (sig != SIGKILL)
		pr_kill_group(w->pid, SIGCONT);
	w->cert.sent = sig;
	pr_timer_set(&p->timers, t, p->ops->now(p) + ms * PR_MS); /* its place is there */
}

void pr_worker_end(struct prong *p, struct worker *w, const char *termseq)
{
	w->termseq = strdup(termseq);
	w->termseq_at = w->termseq ? w->termseq : "";
	w->ending.fire = ending_step;
	if (pr_timer_set(&p->timers, &w->ending, p->ops->now(p)) != 0)
		pr_kill_group(w->pid, SIGKILL);
	else
		ending_step(p, &w->ending);
}

/* ---- its beginning ---- */

static struct worker *worker_alloc(void)
{
	struct worker *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->in.r.fd = w->out.fd = -1;
	w->exit = (struct watch){ .fd = -1, .fire = exit_ready, .of = w };
	w->sock = (struct watch){ .fd = -1, .fire = sock_ready, .of = w };
	w->cert = (struct prong_result){ .out.fd = -1, .err.fd = -1, .res.fd = -1 };
	return w;
}

static int make_channel(struct prong *p, struct worker *w, int *child_end)
{
	int sv[2];
	int e = pr_channel_new(&w->ch, p->crew->window);
	if (e == 0)
		e = pr_region_new(&w->in.r, p->tmpdir, FILE_SIZE);
	if (e == 0)
		e = pr_region_new(&w->out, p->tmpdir, FILE_SIZE);
	if (e == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		e = -errno;
	if (e != 0)
		return e;
	w->sock.fd = pr_fd_mark(sv[0]);
	*child_end = pr_fd_mark(sv[1]);
	w->jobs = calloc(w->ch->cells, sizeof(struct job *));
	w->in_end = calloc(w->ch->cells, sizeof *w->in_end);
	return w->jobs && w->in_end ? 0 : -ENOMEM;
}

static void fill_desk(struct prong *p, struct worker *w, struct desk *d, int child_end)
{
	*d = (struct desk){ .ch = w->ch, .in = w->in.r, .out.r = w->out, .sock = child_end,
		            .host = getpid(), .seed = p->seed, .rss_limit = p->opt.recycle_rss,
		            .patience = p->crew->patience,
		            .init = p->opt.worker_init, .leave = p->opt.worker_exit,
		            .arg = p->opt.worker_arg };
	pr_seed_env(d->seed_env, p->seed, 0);
}

static int fork_worker(struct prong *p, struct worker *w, struct desk *d)
{
	char *set[] = { d->seed_env, NULL };
	const int keep[] = { d->sock, d->in.fd, d->out.r.fd };
	char *const *base = p->opt.env ? p->opt.env : environ;
	int pidfd, null = pr_local(p)->null, e = pr_env_build(&p->crew->env, base, set);
	struct plan pl = { .fn = pr_worker_main, .arg = d, .result_fd = -1,
		           .envp = p->crew->env.v, .fork = p->opt.fork,
		           .fork_arg = p->opt.fork_arg, .in = null, .out = -1,
		           .err = -1, .keep = keep, .nkeep = countof(keep),
		           .reset_handlers = !(p->opt.flags & PRONG_NO_HANDLERS),
		           .deathsig = p->opt.flags & PRONG_DEATHSIG,
		           .report = w->ch->report };
	if (e != 0)
		return e;
	pr_plan_mask(p, &pl);
	pid_t pid = pr_spawn(&pl, NULL, &pidfd);
	if (pid < 0)
		return pid;
	w->pid = w->cert.pid = pid;
	w->exit.fd = pr_fd_mark(pidfd);
	return 0;
}

int pr_worker_new(struct prong *p, struct worker **out)
{
	struct worker *w = worker_alloc();
	struct desk d;
	int child_end = -1;
	if (!w)
		return -ENOMEM;
	int e = make_channel(p, w, &child_end);
	if (e == 0)
		e = pr_ev_watch(p->ev, &w->sock, PRONG_READ);
	if (e == 0) {
		fill_desk(p, w, &d, child_end);
		e = fork_worker(p, w, &d);
	}
	pr_fd_close(&child_end);
	if (e == 0 && w->exit.fd >= 0 && pr_ev_watch(p->ev, &w->exit, PRONG_READ) != 0)
		pr_ev_end(p->ev, &w->exit); /* the end of its socket tells as well */
	if (e != 0) {
		pr_worker_free(p, w);
		return e;
	}
	w->next = p->crew->workers;
	p->crew->workers = w;
	*out = w;
	return 0;
}

static void end_watch(struct prong *p, struct watch *w)
{
	if (*p->alive) /* a forked copy shares the set, and must take nothing out of it */
		pr_ev_end(p->ev, w);
	else
		pr_fd_close(&w->fd);
}

/* It is reaped, or we are a forked copy. */
void pr_worker_free(struct prong *p, struct worker *w)
{
	pr_timer_cancel(&p->timers, &w->ending);
	pr_timer_cancel(&p->timers, &w->deadline);
	end_watch(p, &w->exit);
	end_watch(p, &w->sock);
	pr_region_free(&w->in.r);
	pr_region_free(&w->out);
	pr_channel_free(w->ch);
	free(w->jobs);
	free(w->in_end);
	free(w->termseq);
	free(w);
}
