/* ending.c - terminations: TERM, wait, TERM, wait, ... KILL, beside everything else.
 *
 * An ending begins when a job is stopped or times out.  The job is done when its leader
 * exits; the ending goes on until nothing of the job is left.  Until then the leader's
 * zombie is kept, so that its number, the group's name, cannot be given to a stranger. */
#include "engine.h"
#include "proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LOOK_MS = 10,    /* how often to look whether anything is left */
	KILL_ROUNDS = 50 /* of the last KILL, for what keeps forking; then give up */
};

struct ending {
	struct ending *next;
	struct timer timer;
	struct slot *slot; /* NULL: the leader is gone */
	pid_t pid;
	bool zombie; /* the leader waits to be reaped by us */
	bool group, session;
	bool killed; /* the group got its SIGKILL */
	char *mark, *seq;
	const char *at;  /* the next signal of seq */
	int64_t step;    /* when it is due */
	unsigned rounds; /* of KILL after the sequence's end */
};

/* Parse one "SIG,MS" of a sequence; both may be at its end. */
int pr_termseq_next(const char **at, int *sig, int64_t *ms)
{
	size_t len = strcspn(*at, ",");
	if (!len)
		return -EINVAL;
	*sig = pr_signal_number(*at, len);
	*at += len;
	*ms = 0;
	if (**at == ',') {
		char *end;
		long v = strtol(*at + 1, &end, 10);
		if (end == *at + 1 || v < 0 || v > 86400000 || (*end && *end != ','))
			return -EINVAL;
		*ms = v;
		*at = *end ? end + 1 : end;
	}
	return *sig < 0 ? *sig : 0;
}

int pr_termseq_check(const char *seq)
{
	int sig;
	int64_t ms;
	if (!*seq)
		return -EINVAL;
	while (*seq)
		if (pr_termseq_next(&seq, &sig, &ms) != 0 || sig == 0)
			return -EINVAL;
	return 0;
}

static struct sweep_target target(const struct ending *e)
{
	return (struct sweep_target){ .leader = e->pid, .session = e->session,
		                      .group = e->group, .mark = e->mark,
		                      .killed = e->killed };
}

static void unlink_ending(struct prong *p, struct ending *e)
{
	struct ending **at = &p->endings;
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	p->nendings--;
}

static void finish(struct prong *p, struct ending *e)
{
	pr_timer_cancel(&p->timers, &e->timer);
	if (e->zombie)
		pr_reap(e->pid);
	if (e->slot)
		e->slot->ending = NULL;
	unlink_ending(p, e);
	free(e->mark);
	free(e->seq);
	free(e);
}

/* The group by its name, in one call; then those that left it. */
static int send_all(struct ending *e, int sig)
{
	e->killed |= sig == SIGKILL;
	struct sweep_target t = target(e);
	if (e->group && e->slot)
		pr_kill_group(e->pid, sig);
	else if (e->group)
		kill(-e->pid, sig);
	else if (e->slot)
		kill(e->pid, sig);
	if (e->slot)
		e->slot->result.sent = sig;
	int left = pr_sweep(&t, sig);
	if (sig != SIGKILL && e->group)
		kill(-e->pid, SIGCONT); /* a stopped job must be able to obey */
	return left;
}

static void step(struct ending *e, int64_t now)
{
	int sig = SIGKILL;
	int64_t ms = LOOK_MS;
	if (*e->at)
		pr_termseq_next(&e->at, &sig, &ms); /* checked when the sequence was given */
	else
		e->rounds++;
	send_all(e, sig);
	e->step = now + ms * PR_MS;
}

static void fire(struct prong *p, struct timer *t)
{
	struct ending *e = container_of(t, struct ending, timer);
	int64_t now = p->ops->now(p), look;
	if (now >= e->step)
		step(e, now);
	if (!e->slot) {
		struct sweep_target tg = target(e);
		int left = pr_sweep(&tg, 0);
		if (!(left > 0 || pr_out_of_resources(left)) || e->rounds > KILL_ROUNDS) {
			finish(p, e);
			return;
		}
	}
	look = now + LOOK_MS * PR_MS;
	/* Cannot fail: the timer just left the heap, so there is room. */
	pr_timer_set(&p->timers, t, !e->slot && look < e->step ? look : e->step);
}

static struct ending *ending_new(struct prong *p, struct slot *s)
{
	const struct prong_spec *spec = &s->job->spec;
	struct ending *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->seq = strdup(spec->termseq ? spec->termseq : p->termseq);
	e->mark = spec->mark ? strdup(spec->mark) : NULL;
	if (!e->seq || (spec->mark && !e->mark) ||
	    pr_timer_set(&p->timers, &e->timer, PR_NEVER) != 0) {
		free(e->seq);
		free(e->mark);
		free(e);
		return NULL;
	}
	e->timer.fire = fire;
	e->at = e->seq;
	e->pid = s->pid;
	e->group = !(spec->flags & PRONG_SAME_GROUP);
	e->session = spec->flags & PRONG_NEW_SESSION;
	return e;
}

static int begin(struct prong *p, struct slot *s, bool leader_gone)
{
	struct ending *e = ending_new(p, s);
	if (!e)
		return -ENOMEM;
	e->next = p->endings;
	p->endings = e;
	p->nendings++;
	if (leader_gone) {
		e->zombie = true;
	} else {
		e->slot = s;
		s->ending = e;
	}
	int64_t now = p->ops->now(p), look = now + LOOK_MS * PR_MS;
	step(e, now);
	pr_timer_set(&p->timers, &e->timer, leader_gone && look < e->step ? look : e->step);
	return 0;
}

int pr_ending_begin(struct prong *p, struct slot *s)
{
	return begin(p, s, false);
}

int pr_ending_of_rest(struct prong *p, struct slot *s)
{
	return begin(p, s, true);
}

bool pr_ending_leader_gone(struct prong *p, struct slot *s)
{
	struct ending *e = s->ending;
	s->ending = NULL;
	e->slot = NULL;
	e->zombie = s->result.how != PRONG_LOST;
	pr_timer_set(&p->timers, &e->timer, p->ops->now(p)); /* look at once */
	return e->zombie;
}

void pr_endings_kill(struct prong *p)
{
	while (p->endings) {
		struct ending *e = p->endings;
		struct sweep_target t = target(e);
		for (int i = 0, left = 1; i < KILL_ROUNDS && left; i++) {
			left = send_all(e, SIGKILL);
			if (left > 0 || pr_out_of_resources(left))
				usleep(1000);
			else
				left = 0;
		}
		if (e->group)
			kill(-t.leader, SIGKILL);
		finish(p, e);
	}
}

bool pr_ending_owns(const struct prong *p, pid_t pid)
{
	for (const struct ending *e = p->endings; e; e = e->next)
		if (e->pid == pid)
			return true;
	return false;
}

bool pr_ending_marked(const struct prong *p, const char *mark)
{
	for (const struct ending *e = p->endings; e; e = e->next)
		if (e->mark && strcmp(e->mark, mark) == 0)
			return true;
	return false;
}
