/* apart.c - pads: where children live on their way to exec, beside us.
 *
 * Owns the pads of a pool.  A pad is free again when the kernel says that its child has left
 * our memory, though its slot may still point to it: whether the child left by exec or in
 * failure is noted there when the job ends or the pad is taken, whichever comes first. */
#include "local.h"

#include <stdlib.h>
#include <sys/mman.h>

static bool on_its_way(const struct pad *pad)
{
	return __atomic_load_n(&pad->way, __ATOMIC_ACQUIRE) != 0;
}

void pr_pad_settle(struct slot *s)
{
	struct pad *pad = s->pad;
	if (!pad)
		return;
	s->result.step = pad->plan.step;
	s->start_error = pad->plan.error;
	pad->of = NULL;
	s->pad = NULL;
}

static bool make_pads(struct local *l)
{
	size_t stacks = (size_t)PADS * PAD_STACK;
	char *m = mmap(NULL, stacks, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (m == MAP_FAILED)
		return false;
	l->pads = calloc(PADS, sizeof *l->pads);
	for (int i = 0; l->pads && i < PADS; i++)
		l->pads[i].stack = m + (size_t)i * PAD_STACK;
	if (!l->pads)
		munmap(m, stacks);
	return l->pads != NULL;
}

/* A start that may have to be repeated must find its streams as they were; a job that is
 * swept leaves a zombie when it fails. */
static bool fits(const struct job *j)
{
	const struct prong_spec *s = &j->spec;
	return s->argv && !j->here && !(s->flags & PRONG_SWEEP) && s->in.how != PRONG_FD &&
	       s->out.how != PRONG_FD && s->err.how != PRONG_FD;
}

struct pad *pr_pad_take(struct local *l, const struct job *j)
{
	if (!fits(j) || (!l->pads && !make_pads(l)))
		return NULL;
	for (struct pad *pad = l->pads; pad < l->pads + PADS; pad++)
		if (!on_its_way(pad)) {
			if (pad->of)
				pr_pad_settle(pad->of);
			return pad;
		}
	return NULL;
}

void pr_pads_free(struct local *l)
{
	if (!l->pads)
		return;
	for (int i = 0; i < PADS; i++)
		pr_env_free(&l->pads[i].env);
	munmap(l->pads[0].stack, (size_t)PADS * PAD_STACK);
	free(l->pads);
}
