/* engine-fake.c - virtual time: wait() jumps to the next end. */
#include "engine-fake.h"

#include <stdlib.h>

static struct fake *fake(struct prong *p)
{
	return p->engine;
}

static int fake_open(struct prong *p)
{
	fake(p)->now = PR_MS; /* never 0, as on a machine that has booted */
	return 0;
}

static int64_t fake_now(struct prong *p)
{
	return fake(p)->now;
}

static int fake_start(struct prong *p, struct slot *s)
{
	struct fake *f = fake(p);
	struct fate fate = f->fate(f, s->job);
	if (fate.error)
		return fate.error;
	if (f->nrun == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 16;
		f->run = realloc(f->run, f->cap * sizeof *f->run);
	}
	f->run[f->nrun].slot = s;
	f->run[f->nrun].end = f->now + fate.ms * PR_MS;
	f->run[f->nrun].sig = fate.sig;
	f->run[f->nrun++].status = fate.status;
	f->starts++;
	f->most = f->nrun > f->most ? f->nrun : f->most;
	s->pid = 1;
	return 0;
}

static unsigned first_to_end(const struct fake *f)
{
	unsigned first = 0;
	for (unsigned i = 1; i < f->nrun; i++)
		if (f->run[i].end < f->run[first].end)
			first = i;
	return first;
}

static int fake_wait(struct prong *p, int64_t until, struct fired *out)
{
	struct fake *f = fake(p);
	unsigned i = first_to_end(f);
	f->waits++;
	if (!f->nrun || f->run[i].end > until) {
		if (until == PR_NEVER)
			abort(); /* a real one would hang */
		f->now = until > f->now ? until : f->now;
		return 0;
	}
	if (f->run[i].end > f->now)
		f->now = f->run[i].end;
	struct slot *s = f->run[i].slot;
	if (s->result.how == 0)
		s->result.how = f->run[i].sig ? PRONG_SIGNALED : PRONG_EXITED;
	s->result.status = f->run[i].sig ? f->run[i].sig : f->run[i].status;
	f->run[i] = f->run[--f->nrun];
	*out = (struct fired){ .kind = FIRED_EXIT, .slot = s };
	return 1;
}

static int fake_stop(struct prong *p, struct slot *s)
{
	struct fake *f = fake(p);
	int64_t end = f->now + f->fate(f, s->job).term_ms * PR_MS;
	for (unsigned i = 0; i < f->nrun; i++)
		if (f->run[i].slot == s && f->run[i].end > end) {
			f->run[i].end = end;
			f->run[i].status = SIGTERM;
			f->run[i].sig = 0;
			s->result.how = PRONG_SIGNALED;
		}
	return 0;
}

static int fake_signal(struct prong *p, struct slot *s, int sig)
{
	(void)p, (void)s, (void)sig;
	return 0;
}

static void fake_release(struct prong *p, struct slot *s)
{
	(void)p, (void)s;
}

static void fake_close(struct prong *p)
{
	free(fake(p)->run);
}

const struct engine_ops engine_fake = {
	.open = fake_open,
	.now = fake_now,
	.start = fake_start,
	.wait = fake_wait,
	.stop = fake_stop,
	.signal = fake_signal,
	.release = fake_release,
	.close = fake_close,
};
