/* job.c - a job is one block of memory: header, then everything its spec points to. */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	TASK_HEAD = (offsetof(struct job, seed) + 15) / 16 * 16,
	OWN_BLOCK = 0, /* too long to be kept for reuse */
	TASK_BLOCK,    /* of a task, with a payload that is not longer than this allows */
	JOB_BLOCK
};

static const struct {
	size_t size;
	unsigned keep; /* so many, at most */
} blocks[] = { [TASK_BLOCK] = { 256, 1024 }, [JOB_BLOCK] = { 768, 64 } };

/* Two passes over the same code: with at == NULL it only measures. */
struct packer {
	char *at;
	size_t size;
	size_t row, row_bytes; /* argv from there on is one block, of so many bytes */
};

static void *pack(struct packer *k, const void *data, size_t len, size_t align)
{
	size_t off = (k->size + align - 1) / align * align;
	k->size = off + len;
	if (!k->at)
		return NULL;
	return len ? memcpy(k->at + off, data, len) : k->at + off;
}

static void pack_str(struct packer *k, const char **s)
{
	if (*s)
		*s = pack(k, *s, strlen(*s) + 1, 1);
}

static void pack_vec(struct packer *k, char *const **vec)
{
	if (!*vec)
		return;
	size_t n = 0;
	while ((*vec)[n])
		n++;
	char **copy = pack(k, *vec, (n + 1) * sizeof **vec, _Alignof(char *));
	for (size_t i = 0; i < n; i++) {
		char *s = pack(k, (*vec)[i], strlen((*vec)[i]) + 1, 1);
		if (copy)
			copy[i] = s;
	}
	*vec = copy;
}

/* The strings at the end of a long argv lie one behind the other, mostly: one block. */
static void find_row(struct packer *k, char *const *v)
{
	size_t i = 0;
	for (k->row = k->row_bytes = 0; v[i]; i++) {
		if (v[i] != v[k->row] + k->row_bytes) {
			k->row = i;
			k->row_bytes = 0;
		}
		k->row_bytes += strlen(v[i]) + 1;
	}
}

static void pack_argv(struct packer *k, char *const **vec)
{
	char *const *v = *vec;
	size_t n = 0;
	if (!v)
		return;
	if (!k->at)
		find_row(k, v);
	while (v[n])
		n++;
	char **copy = pack(k, v, (n + 1) * sizeof *v, _Alignof(char *));
	for (size_t i = 0; i < k->row; i++) {
		char *s = pack(k, v[i], strlen(v[i]) + 1, 1);
		if (copy)
			copy[i] = s;
	}
	char *row = n ? pack(k, v[k->row], k->row_bytes, 1) : NULL;
	for (size_t i = k->row; copy && i < n; i++)
		copy[i] = row + (v[i] - v[k->row]);
	*vec = copy;
}

static void pack_spec(struct packer *k, struct prong_spec *s)
{
	pack_argv(k, &s->argv);
	pack_vec(k, &s->env);
	pack_vec(k, &s->setenv);
	pack_str(k, &s->path);
	pack_str(k, &s->mark);
	pack_str(k, &s->cwd);
	pack_str(k, &s->termseq);
	pack_str(k, &s->engine);
	if (s->pass_fds)
		s->pass_fds = pack(k, s->pass_fds, s->npass_fds * sizeof(int), _Alignof(int));
	if (s->task && !(s->flags & PRONG_BORROW))
		s->task = pack(k, s->task, s->task_len, 16);
}

static bool stdio_ok(const struct prong_stdio *io, int stream)
{
	if (io->how < PRONG_DEFAULT || io->how > PRONG_MERGE)
		return false;
	if (io->how == PRONG_FD && io->fd < 0)
		return false;
	if (stream == 0)
		return io->how != PRONG_FILE && io->how != PRONG_PIPE && io->how != PRONG_MERGE;
	return io->how != PRONG_MERGE || stream == 2;
}

/* A standing worker is what it is: a task cannot have it otherwise. */
static bool task_ok(const struct prong_spec *s)
{
	const void *more = (const void *)((uintptr_t)s->path | (uintptr_t)s->env |
	                                  (uintptr_t)s->setenv | (uintptr_t)s->mark |
	                                  (uintptr_t)s->cwd);
	int other = s->in.how | s->out.how | s->err.how | s->nice |
	            (int)(s->flags & ~(unsigned)PRONG_BORROW);
	return s->work && !more && !other && !s->npass_fds;
}

/* By hand: the call costs more than the comparison. */
static bool is_worker(const struct prong_spec *s)
{
	const char *e = s->engine;
	return e && e[0] == 'w' && e[1] == 'o' && e[2] == 'r' && e[3] == 'k' && e[4] == 'e' &&
	       e[5] == 'r' && !e[6];
}

static bool what_ok(const struct prong_spec *s, bool forked)
{
	int kinds = (s->argv != NULL) + (s->fn != NULL) + (s->work != NULL);
	if (kinds != !forked || (s->argv && !s->argv[0]) || (s->task_len && !s->task) ||
	    s->task_len > SIZE_MAX / 2) /* lengths are added up from here on */
		return false;
	if (s->engine && strcmp(s->engine, "local") != 0 && !(is_worker(s) && task_ok(s)))
		return false;
	return s->work || (!s->task && !(s->flags & PRONG_BORROW));
}

static bool spec_ok(const struct prong_spec *s, bool forked)
{
	const unsigned known = PRONG_SWEEP | PRONG_NEW_SESSION | PRONG_FOREGROUND |
	                       PRONG_SAME_GROUP | PRONG_KEEP_FDS | PRONG_BORROW;
	if (s->flags & ~known || s->timeout_ms < 0 || s->backoff_ms < 0 || !what_ok(s, forked))
		return false;
	if (s->npass_fds && !s->pass_fds)
		return false;
	return stdio_ok(&s->in, 0) && stdio_ok(&s->out, 1) && stdio_ok(&s->err, 2) &&
	       (!s->termseq || pr_termseq_check(s->termseq) == 0);
}

/* What pool and workers look at is at the block's beginning.  A time of centuries is none that
 * the clock could be asked for. */
static void take_terms(struct job *j, const struct prong_spec *s)
{
	j->tag = s->tag;
	j->work = s->work;
	j->arg = s->arg;
	j->task = s->task;
	j->task_len = s->task_len;
	j->timeout_ms = s->timeout_ms < PR_MS_MAX ? s->timeout_ms : PR_MS_MAX;
	j->backoff_ms = s->backoff_ms < PR_MS_MAX ? s->backoff_ms : PR_MS_MAX;
	j->termseq = s->termseq;
	j->tries = s->tries ? s->tries : 1;
}

/* malloc() and free() take a tenth of a task's time, and write pages of their own after a fork. */
static struct job *new_block(struct prong *p, size_t size, unsigned char block)
{
	bool own = size > blocks[block].size;
	struct spare *spare = &p->spare[block - 1];
	struct job *j = own ? NULL : spare->head;
	if (j) {
		spare->head = j->next;
		spare->n--;
	} else if (!(j = malloc(own ? size : blocks[block].size))) {
		return NULL;
	}
	j->block = own ? OWN_BLOCK : block;
	return j;
}

/* Nothing to pack but its bytes. */
static int task_new(struct prong *p, struct job **out, const struct prong_spec *spec)
{
	size_t copy = spec->flags & PRONG_BORROW ? 0 : spec->task_len;
	struct job *j = new_block(p, TASK_HEAD + copy, TASK_BLOCK);
	if (!j)
		return -ENOMEM;
	take_terms(j, spec);
	j->attempt = 0;
	j->state = JOB_WAITING;
	j->worker = true;
	j->here = false;
	j->slot = NULL;
	j->rest.pos = 0;
	if (copy)
		j->task = memcpy((char *)j + TASK_HEAD, spec->task, spec->task_len);
	*out = j;
	return 0;
}

void pr_job_free(struct prong *p, struct job *j)
{
	struct spare *spare = j && j->block ? &p->spare[j->block - 1] : NULL;
	if (!spare || spare->n == blocks[j->block].keep) {
		free(j);
		return;
	}
	j->next = spare->head;
	spare->head = j;
	spare->n++;
}

void pr_jobs_trim(struct prong *p)
{
	for (unsigned i = 0; i < countof(p->spare); i++) {
		for (struct job *j; (j = p->spare[i].head); free(j))
			p->spare[i].head = j->next;
		p->spare[i].n = 0;
	}
}

static bool plain_task(const struct prong_spec *s)
{
	return s->size == sizeof *s && is_worker(s) && task_ok(s) && !s->argv && !s->fn &&
	       !s->termseq && (!s->task_len || s->task) && (s->timeout_ms | s->backoff_ms) >= 0 &&
	       s->task_len <= SIZE_MAX / 2;
}

/* Not inlined: the copy of a spec that is none would be cleared for each task. */
__attribute__((noinline)) static int packed_new(struct prong *p, struct job **out,
                                                const struct prong_spec *spec, bool forked)
{
	struct prong_spec s = { 0 };
	if (!spec || spec->size < offsetof(struct prong_spec, tag) || spec->size > sizeof s)
		return -EINVAL;
	memcpy(&s, spec, spec->size);
	if (!spec_ok(&s, forked))
		return -EINVAL;
	struct prong_spec measured = s;
	struct packer k = { .size = sizeof(struct job) };
	pack_spec(&k, &measured);
	struct job *j = new_block(p, k.size, JOB_BLOCK);
	if (!j)
		return -ENOMEM;
	*j = (struct job){ .spec = s, .worker = is_worker(&s), .block = j->block };
	k.at = (char *)j;
	k.size = sizeof *j;
	pack_spec(&k, &j->spec);
	take_terms(j, &j->spec);
	*out = j;
	return 0;
}

int pr_job_new(struct prong *p, struct job **out, const struct prong_spec *spec, bool forked)
{
	if (spec && !forked && plain_task(spec))
		return task_new(p, out, spec);
	return packed_new(p, out, spec, forked);
}
