/* pool.c - the queue, the slots, prong_submit(): read this first, then turn.c.
 *
 * Owns jobs from submit until the wait after their last event, and all slots. */
#include "crew.h"
#include "engine.h"
#include "fds.h"
#include "os.h"
#include "proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening and closing ---- */

static struct slot *slot_new(unsigned number)
{
	struct slot *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->number = number;
	s->exit.fd = -1;
	for (int i = 0; i < NSTREAMS; i++)
		s->st[i].file.fd = s->st[i].file.own = s->st[i].pipe.fd = -1;
	return s;
}

enum { JOBS_MAX = 1 << 22 }; /* no system has more processes */

/* Limit and storage change together. */
static int grow(struct prong *p, unsigned jobs)
{
	if (jobs > JOBS_MAX)
		return -EINVAL;
	struct slot **v = realloc(p->slots, jobs * sizeof *v);
	if (!v)
		return -ENOMEM;
	p->slots = v;
	unsigned had = p->nslots, *end = &p->free;
	while (p->nslots < jobs && (v[p->nslots] = slot_new(p->nslots + 1)))
		p->nslots++;
	while (*end)
		end = &v[*end - 1]->next_free;
	for (unsigned n = had; n < p->nslots; end = &v[n++]->next_free)
		*end = n + 1;
	return p->nslots < jobs ? -ENOMEM : 0;
}

static int copy_options(struct prong *p, const struct prong_options *o)
{
	const unsigned known = PRONG_REAP_STRAYS | PRONG_NO_HANDLERS | PRONG_CAPTURE_PIPE |
	                       PRONG_DEATHSIG;
	if (o && (o->size < offsetof(struct prong_options, fork) || o->size > sizeof *o))
		return -EINVAL;
	if (o)
		memcpy(&p->opt, o, o->size);
	const char *tmp = p->opt.tmpdir ? p->opt.tmpdir : getenv("TMPDIR");
	const char *seq = p->opt.termseq ? p->opt.termseq : "TERM,200,TERM,100,TERM,50,KILL,25";
	if (p->opt.window > PR_WINDOW_MAX || p->opt.flags & ~known || pr_termseq_check(seq) != 0)
		return -EINVAL;
	p->tmpdir = strdup(tmp && *tmp ? tmp : "/tmp");
	p->termseq = strdup(seq);
	p->seed = p->opt.seed ? p->opt.seed : pr_seed_random();
	if (p->opt.sigmask)
		p->sigmask = *p->opt.sigmask;
	return p->tmpdir && p->termseq ? 0 : -ENOMEM;
}

int pr_open_engine(struct prong **out, const struct prong_options *o,
                   const struct engine_ops *ops, void *ctx)
{
	struct prong *p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->engine = ctx;
	int e = copy_options(p, o);
	if (e == 0)
		e = pr_alive_new(&p->alive);
	if (e == 0) {
		p->limit = p->opt.jobs ? p->opt.jobs : pr_cpus();
		e = grow(p, p->limit);
	}
	if (e == 0 && (e = ops->open(p)) == 0)
		p->ops = ops;
	if (e != 0) {
		prong_close(p);
		return e;
	}
	*out = p;
	return 0;
}

int prong_open(struct prong **pool, const struct prong_options *options)
{
	if (!pool)
		return -EINVAL;
	*pool = NULL; /* a failure leaves what prong_close() takes */
	return pr_open_engine(pool, options, &pr_engine_local, NULL);
}

static void free_list(struct prong *p, struct job_list *l)
{
	for (struct job *j = l->head, *next; j; j = next) {
		next = j->next;
		pr_job_free(p, j);
	}
}

void prong_close(struct prong *p)
{
	if (!p)
		return;
	pr_crew_close(p);
	if (p->ops)
		p->ops->close(p);
	for (unsigned i = 0; i < p->nslots; i++) {
		if (p->slots[i]->job)
			free(p->slots[i]->job);
		free(p->slots[i]);
	}
	pr_hosts_free(p);
	free_list(p, &p->waiting);
	free_list(p, &p->resting);
	free_list(p, &p->cancelled);
	pr_job_free(p, p->last_job);
	pr_jobs_trim(p);
	free(p->reply);
	free(p->slots);
	free(p->timers.heap);
	free(p->tmpdir);
	free(p->termseq);
	pr_alive_free(p->alive);
	free(p);
}

/* ---- what the host may ask and change ---- */

int64_t prong_submit(struct prong *p, const struct prong_spec *spec)
{
	struct job *j;
	int e = pr_usable(p);
	if (e == 0)
		e = pr_job_new(p, &j, spec, false);
	if (e != 0)
		return e;
	if (j->worker && !p->crew && (e = pr_crew_open(p)) != 0) {
		pr_job_free(p, j);
		return e;
	}
	j->id = ++p->next_id;
	if (!j->worker)
		j->seed = pr_seed(p->seed, j->id);
	pr_list_add(&p->waiting, j);
	p->nwaiting++;
	p->hungry |= p->nwaiting >= p->enough;
	return j->id;
}

int prong_resize(struct prong *p, unsigned jobs)
{
	int e = pr_usable(p);
	if (e != 0 || !jobs)
		return e ? e : -EINVAL;
	e = jobs > p->nslots ? grow(p, jobs) : 0;
	if (e == 0) {
		p->limit = jobs;
		pr_crew_resized(p);
	}
	return e;
}

unsigned prong_room(const struct prong *p)
{
	if (pr_usable(p) != 0)
		return 0;
	size_t used = p->running + p->nwaiting;
	return used < p->limit ? (unsigned)(p->limit - used) : 0;
}

/* The slot of the last event is free again at the next wait. */
unsigned prong_next_slot(const struct prong *p)
{
	if (!prong_room(p))
		return 0;
	unsigned s = p->free, last = p->last_slot ? p->last_slot->number : 0;
	for (size_t skip = p->nwaiting;; skip--) {
		bool before = last && (!s || last < s);
		unsigned n = before ? last : s;
		if (!n || !skip)
			return n;
		if (before)
			last = 0;
		else
			s = p->slots[s - 1]->next_free;
	}
}

unsigned prong_running(const struct prong *p)
{
	return pr_usable(p) != 0 ? 0 : p->running;
}

unsigned prong_ending(const struct prong *p)
{
	return pr_usable(p) != 0 ? 0 : p->nendings;
}

int prong_take(struct prong *p, int stream)
{
	int e = pr_usable(p);
	if (e != 0)
		return e;
	struct slot *s = p->last_slot;
	if (!s || stream < 1 || stream > NSTREAMS)
		return -EINVAL;
	int fd = s->st[stream - 1].file.fd;
	pr_fd_unmark(fd);
	s->st[stream - 1].file.fd = -1;
	return fd >= 0 ? fd : -EINVAL;
}

unsigned prong_task_room(const struct prong *p)
{
	return pr_usable(p) != 0 ? 0 : pr_crew_room(p);
}

/* ---- stopping ---- */

void pr_slot_stop(struct prong *p, struct slot *s, int why)
{
	if (s->job->state == JOB_STOPPING)
		return;
	s->why = why;
	s->job->state = JOB_STOPPING;
	if (p->ops->stop(p, s) != 0)
		p->ops->signal(p, s, SIGKILL);
}

static void cancel_queued(struct prong *p, struct job_list *l, size_t *n, struct job *j)
{
	pr_timer_cancel(&p->timers, &j->rest);
	pr_list_del(l, j);
	--*n;
	pr_list_add(&p->cancelled, j);
	p->ncancelled++;
}

static struct job *find(struct job_list *l, int64_t id)
{
	struct job *j = l->head;
	while (j && id && j->id != id)
		j = j->next;
	return j;
}

static struct slot *next_slot(const struct prong *p, unsigned *i, int64_t id)
{
	while (*i < p->nslots) {
		struct slot *s = p->slots[(*i)++];
		if (s->job && !s->exited && (!id || s->job->id == id))
			return s;
	}
	return NULL;
}

int prong_stop(struct prong *p, int64_t id)
{
	struct job *j;
	struct slot *s;
	bool any = !id;
	int e = pr_usable(p);
	if (e != 0)
		return e;
	any |= find(&p->cancelled, id) != NULL; /* its DONE is still to come */
	if (p->crew)
		any |= pr_crew_stop(p, id); /* what it takes back waits again */
	for (; (j = find(&p->waiting, id)); any = true)
		cancel_queued(p, &p->waiting, &p->nwaiting, j);
	for (; (j = find(&p->resting, id)); any = true)
		cancel_queued(p, &p->resting, &p->nresting, j);
	for (unsigned i = 0; (s = next_slot(p, &i, id)); any = true)
		pr_slot_stop(p, s, PRONG_CANCELLED);
	return any ? 0 : -ESRCH;
}

int prong_signal(struct prong *p, int64_t id, int sig)
{
	struct slot *s;
	int e = pr_usable(p);
	if (e != 0 || sig < 0 || sig >= NSIG)
		return e ? e : -EINVAL;
	e = id ? -ESRCH : 0;
	for (unsigned i = 0; (s = next_slot(p, &i, id));) {
		e = p->ops->signal(p, s, sig);
		if (e == 0 && sig)
			s->result.sent = sig;
	}
	return p->crew ? pr_crew_signal(p, id, sig, e) : e;
}
