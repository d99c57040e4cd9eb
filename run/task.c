/* task.c - turn a record into a job: template, tag, directory, environment, spec. */
#include "task.h"

#include "load.h"

#include "dirs.h"
#include "results.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

/* ---- lists and blocks ---- */

static void copy_values(struct task *t, const struct args *a, char *to)
{
	if (a->bytes)
		memcpy(to, a->v[0], a->bytes);
	for (size_t i = 0; i < a->n; i++) {
		t->v[i] = to;
		if (!a->bytes)
			to = stpcpy(to, a->v[i]) + 1;
		else if (i + 1 < a->n)
			to += a->v[i + 1] - a->v[i];
	}
	t->v[a->n] = NULL;
}

struct task *task_new(const struct args *a, uint64_t seq)
{
	size_t head = sizeof(struct task) + (a->n + 1) * sizeof(char *), bytes = a->bytes;
	for (size_t i = 0; i < a->n && !a->bytes; i++)
		bytes += strlen(a->v[i]) + 1;
	struct task *t = xrealloc(NULL, head + bytes);
	memset(t, 0, sizeof *t);
	t->seq = t->nth = seq;
	t->n = a->n;
	t->bytes = bytes;
	copy_values(t, a, (char *)t + head);
	return t;
}

void task_free(struct task *t)
{
	free(t->tag);
	free(t->dir);
	perl_values_free(t->perl);
	kept_free(t->kept);
	load_release(t->load);
	if (t->file)
		unlink(t->file);
	free(t->file);
	free(t);
}

void task_add(struct task_list *l, struct task *t)
{
	t->next = NULL;
	t->prev = l->tail;
	*(l->tail ? &l->tail->next : &l->head) = t;
	l->tail = t;
}

void task_push(struct task_list *l, struct task *t)
{
	t->prev = NULL;
	t->next = l->head;
	*(l->head ? &l->head->prev : &l->tail) = t;
	l->head = t;
}

void task_del(struct task_list *l, struct task *t)
{
	*(t->prev ? &t->prev->next : &l->head) = t->next;
	*(t->next ? &t->next->prev : &l->tail) = t->prev;
	t->prev = t->next = NULL;
}

/* ---- the builder ---- */

/* A nice value below ours needs a privilege; without it jobs have ours. */
static int nice_to_add(const struct config *cfg)
{
	int now = getpriority(PRIO_PROCESS, 0), want = cfg->nice_given ? cfg->nice : now;
	if (want < now && setpriority(PRIO_PROCESS, 0, want) != 0)
		return 0;
	if (want < now)
		setpriority(PRIO_PROCESS, 0, now);
	return want - now;
}

int builder_init(struct builder *b, const struct config *cfg, const struct host *host,
                 const struct names *names)
{
	*b = (struct builder){ .cfg = cfg, .host = host, .total = -1 };
	b->command = template_new(cfg, names);
	if (!b->command)
		return -EINVAL;
	b->nice = nice_to_add(cfg);
	b->direct = !cfg->tty && direct_ok(b->command, &host->shell, environ);
	if (cfg->filter && !(b->filter = template_filter(cfg, names)))
		return -EINVAL;
	if (cfg->tagstring && !(b->tag = template_text(cfg, names, cfg->tagstring)))
		return -EINVAL;
	if (cfg->workdir && !(b->dir = template_text(cfg, names, cfg->workdir)))
		return -EINVAL;
	return 0;
}

void builder_free(struct builder *b)
{
	template_free(b->command);
	if (b->tag)
		template_free(b->tag);
	if (b->dir)
		template_free(b->dir);
	template_free(b->filter);
	buf_free(&b->text);
	buf_free(&b->words);
	for (size_t i = 0; i < sizeof b->env / sizeof *b->env; i++)
		buf_free(&b->env[i]);
	free(b->argv);
}

static struct args args_of(const struct task *t)
{
	return (struct args){ .v = t->v, .n = t->n, .bytes = t->bytes };
}

static struct job_context context(const struct builder *b, const struct task *t)
{
	return (struct job_context){ .seq = t->seq, .slot = t->slot, .slots = b->slots,
		                    .total = b->total, .perl = t->perl };
}

/* The values of --filter's replacement strings, for perl; v[] points into text. */
static size_t put_of(struct builder *b, const struct task *t, struct buf *text, char ***v)
{
	struct args a = args_of(t);
	struct job_context c = context(b, t);
	size_t n = template_put(b->filter, &a, &c, text);
	char *s = text->s;
	*v = xrealloc(NULL, (n + 1) * sizeof **v);
	for (size_t i = 0; i < n; i++, s += strlen(s) + 1)
		(*v)[i] = s;
	return n;
}

int builder_ask_perl(struct builder *b, struct task **v, size_t n)
{
	struct perl_job *jobs = xrealloc(NULL, n * sizeof *jobs);
	struct perl_values **values = xrealloc(NULL, n * sizeof *values);
	struct buf *text = b->filter ? xrealloc(NULL, n * sizeof *text) : NULL;
	char **put;
	for (size_t i = 0; i < n; i++) {
		jobs[i] = (struct perl_job){ .args = args_of(v[i]), .seq = v[i]->seq,
			                     .slot = v[i]->slot };
		if (!b->filter)
			continue;
		text[i] = (struct buf){ 0 };
		jobs[i].put.n = put_of(b, v[i], &text[i], &put);
		jobs[i].put.v = put;
	}
	int e = perl_eval(b->cfg->perl, jobs, n, b->total, b->slots, values);
	for (size_t i = 0; i < n; i++) {
		if (b->filter) {
			buf_free(&text[i]);
			free((void *)(uintptr_t)jobs[i].put.v);
		}
		v[i]->perl = values[i];
	}
	free(text);
	free(values);
	free(jobs);
	return e;
}

const char *builder_command(struct builder *b, const struct task *t)
{
	struct args a = args_of(t);
	struct job_context c = context(b, t);
	buf_clear(&b->text);
	template_expand(b->command, &a, &c, &b->text);
	return b->text.s ? b->text.s : "";
}

char *builder_text(struct builder *b, const struct template *tp, const struct task *t)
{
	struct args a = args_of(t);
	struct job_context c = context(b, t);
	buf_clear(&b->text);
	template_expand(tp, &a, &c, &b->text);
	return xstrdup(b->text.s ? b->text.s : "");
}

static char *joined(struct builder *b, const struct task *t)
{
	buf_clear(&b->text);
	for (size_t i = 0; i < t->n; i++) {
		if (i)
			buf_chr(&b->text, ' ');
		buf_str(&b->text, t->v[i]);
	}
	return xstrdup(b->text.s ? b->text.s : "");
}

static int set_dir(struct builder *b, struct task *t)
{
	if (!strcmp(b->cfg->workdir, "...")) {
		const char *home = getenv("HOME");
		char path[PATH_MAX], host[128] = "localhost";
		gethostname(host, sizeof host - 1);
		snprintf(path, sizeof path, "%s/.parallel/tmp/%s-%ld-%llu", home ? home : "", host,
		         (long)getpid(), (unsigned long long)t->seq);
		t->dir = xstrdup(path);
	} else {
		t->dir = builder_text(b, b->dir, t);
	}
	int e = dirs_make(t->dir); /* as under GNU parallel */
	if (e != 0)
		warn("--wd: cannot make the directory '%s': %s", t->dir, prong_strerror(e));
	return e;
}

void builder_tag(struct builder *b, struct task *t)
{
	if (b->tag)
		t->tag = builder_text(b, b->tag, t);
	else if (b->cfg->tag)
		t->tag = joined(b, t);
}

int builder_prepare(struct builder *b, struct task *t)
{
	builder_tag(b, t);
	return b->dir && !t->dir ? set_dir(b, t) : 0;
}

/* ---- the spec ---- */

static char *env_entry(struct builder *b, size_t i, const char *fmt, const char *s,
                       unsigned long long n)
{
	buf_clear(&b->env[i]);
	if (s)
		buf_fmt(&b->env[i], fmt, s, n);
	else
		buf_fmt(&b->env[i], fmt, n);
	return b->env[i].s;
}

static char *slot_entry(struct builder *b, size_t i, const struct task *t)
{
	buf_clear(&b->env[i]);
	buf_fmt(&b->env[i], "%s=%u", b->cfg->slot_var, t->slot - 1);
	return b->env[i].s;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void build_env(struct builder *b, const struct task *t, char **env)
{
	size_t n = 0;
	/* Of each try its own: what is left of one is killed while the next runs. */
	env[n] = env_entry(b, n, "%s.%llu", b->host->mark, ++b->starts), n++;
	env[n] = env_entry(b, n, "PARALLEL_SEQ=%llu", NULL, t->seq), n++;
	env[n] = env_entry(b, n, "PARALLEL_JOBSLOT=%llu", NULL, t->slot), n++;
	env[n] = b->env[n].s ? b->env[n].s /* the same for every job */
	                     : env_entry(b, n, "PARALLEL_PID=%llu", NULL, (unsigned long long)getpid());
	n++;
	env[n++] = "PARALLEL_SSHHOST=:";
	env[n++] = "PARALLEL_SSHLOGIN=:";
	if (b->cfg->slot_var)
		env[n] = slot_entry(b, n, t), n++;
	env[n] = NULL;
}
#pragma GCC diagnostic pop

static char *const *words_argv(struct builder *b, const struct task *t)
{
	struct args a = args_of(t);
	struct job_context c = context(b, t);
	size_t n = 0;
	buf_clear(&b->words);
	template_words(b->command, &a, &c, &b->words);
	for (char *p = b->words.s, *end = p + b->words.len; p < end; p += strlen(p) + 1) {
		if (n + 2 > b->argv_cap) {
			b->argv_cap = b->argv_cap ? b->argv_cap * 2 : 16;
			b->argv = xrealloc(b->argv, b->argv_cap * sizeof *b->argv);
		}
		b->argv[n++] = p;
	}
	b->argv[n] = NULL;
	return b->argv;
}

static struct prong_stdio input_of(const struct builder *b, const struct task *t)
{
	if (t->load)
		return t->in;
	if (b->cfg->open_tty && b->host->tty_fd >= 0)
		return (struct prong_stdio){ .how = PRONG_FD, .fd = b->host->tty_fd };
	if (b->cfg->tty || (b->cfg->semaphore && !isatty(STDIN_FILENO)))
		return (struct prong_stdio){ .how = PRONG_INHERIT };
	return (struct prong_stdio){ .how = PRONG_NULL };
}

bool task_squeezes(const struct config *cfg, const struct task *t, int i)
{
	return cfg->compress && (cfg->output == OUTPUT_GROUP || (t->kept && t->kept->fd[i] >= 0));
}

static struct prong_stdio output_of(const struct config *cfg, const struct task *t, int i)
{
	if (cfg->output == OUTPUT_LINE || task_squeezes(cfg, t, i))
		return (struct prong_stdio){ .how = PRONG_PIPE };
	if (t->kept && t->kept->fd[i] >= 0)
		return (struct prong_stdio){ .how = PRONG_FD, .fd = t->kept->fd[i] };
	return (struct prong_stdio){
		.how = cfg->output == OUTPUT_UNGROUP ? PRONG_INHERIT : PRONG_FILE,
	};
}

int64_t builder_submit(struct builder *b, struct prong *pool, struct task *t)
{
	const struct config *cfg = b->cfg;
	char *env[8];
	char *const *argv;
	const char *by_shell[] = { b->host->shell.path, "-c", NULL, NULL };
	build_env(b, t, env);
	if (b->direct && !t->by_shell) {
		argv = words_argv(b, t);
	} else {
		by_shell[2] = builder_command(b, t);
		argv = (char *const *)by_shell;
	}
	unsigned group = cfg->open_tty ? PRONG_SAME_GROUP
	                 : cfg->tty && b->host->tty_fd >= 0 ? PRONG_FOREGROUND
	                 : cfg->tty                         ? 0u
	                                                    : PRONG_NEW_SESSION;
	int64_t timeout = cfg->timeout.percent ? 0 : (int64_t)(cfg->timeout.n * 1000 + 0.5);
	return prong_submit(
		pool,
		PRONG_SPEC(.argv = argv, .path = argv == (char *const *)by_shell ? argv[0] : NULL,
	                   .setenv = env, .mark = env[0], .cwd = t->dir, .in = input_of(b, t),
	                   .out = output_of(cfg, t, 0), .err = output_of(cfg, t, 1), .nice = b->nice,
	                   .flags = PRONG_KEEP_FDS | (cfg->sweep ? PRONG_SWEEP : 0u) | group,
	                   .tty_fd = b->host->tty_fd, .timeout_ms = timeout, .tag = t));
}
