/* perl.c - the co-process that evaluates {= perl =}; its half of the talk is expr.pl. */
#include "perl.h"

#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
extern const char perl_script[]; /* expr.pl */

struct use {
	char *code;
	int pos;
	bool once;
};
struct perl {
	pid_t pid; /* 0: not started */
	int fd;     /* a socket to it */
	struct use *uses;
	size_t nuses;
	bool filter, slot, total, broken;
	enum quoting quoting;
	struct buf out, in;
	size_t at;  /* in `in`: the next string of the reply */
};
struct perl_values {
	size_t n, nargs;
	bool skip;
	char **v; /* each "q" or "u", and the value */
};

struct perl *perl_new(void)
{
	struct perl *p = memset(xrealloc(NULL, sizeof *p), 0, sizeof *p);
	p->fd = -1;
	return p;
}

void perl_quoting(struct perl *p, enum quoting how)
{
	p->quoting = how;
}

void perl_free(struct perl *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd); /* it ends when it reads the end */
	while (p->pid && waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < p->nuses; i++)
		free(p->uses[i].code);
	free(p->uses);
	buf_free(&p->out);
	buf_free(&p->in);
	free(p);
}

/* ---- starting ---- */

/* Its signals are as a fresh program's: this process may have blocked or ignored some. */
static int spawn(struct perl *p, int end)
{
	static char *const kinds[] = { [QUOTE_POSIX] = "posix", [QUOTE_CSH] = "csh", [QUOTE_FISH] = "fish" };
	char fd[16];
	char *argv[] = { "perl", "-e", (char *)(uintptr_t)perl_script, fd, kinds[p->quoting], NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	snprintf(fd, sizeof fd, "%d", end);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, end, end); /* takes CLOEXEC off, in the child */
	posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	int e = posix_spawnp(&p->pid, "perl", &fa, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	if (e != 0)
		p->pid = 0;
	return -e;
}

static int start(struct perl *p)
{
	int ends[2];
	int e = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno;
	if (e == 0) {
		e = spawn(p, ends[1]);
		close(ends[1]);
		p->fd = ends[0];
	}
	if (e == -ENOENT)
		warn("perl expressions ({= =}, --rpl, --filter) need the program perl, which is not"
		     " in $PATH; install the package 'perl'");
	else if (e != 0)
		warn("cannot start perl: %s", strerror(-e));
	return e;
}

/* ---- frames ---- */

static void put32(char *to, size_t n)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(n >> 8 * i & 255);
}

static size_t get32(const char *from)
{
	size_t n = 0;
	for (int i = 0; i < 4; i++)
		n |= (size_t)(unsigned char)from[i] << 8 * i;
	return n;
}

static void add_text(struct perl *p, const char *s)
{
	char len[4];
	size_t n = strlen(s);
	put32(len, n);
	buf_add(&p->out, len, sizeof len);
	buf_add(&p->out, s, n);
}

static void add_number(struct perl *p, long long n)
{
	char text[24];
	snprintf(text, sizeof text, "%lld", n);
	add_text(p, text);
}

static void begin(struct perl *p, const char *type)
{
	buf_clear(&p->out);
	buf_add(&p->out, "\0\0\0\0", 4);
	add_text(p, type);
}

static int write_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t put = send(fd, s, n, MSG_NOSIGNAL);
		if (put < 0 && errno != EINTR)
			return -errno;
		if (put > 0) {
			s += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

static int read_all(int fd, char *s, size_t n)
{
	while (n) {
		ssize_t got = read(fd, s, n);
		if (got == 0)
			return -EPIPE;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0) {
			s += got;
			n -= (size_t)got;
		}
	}
	return 0;
}

/* Send the request, take the whole reply.  -1 after a message. */
static int ask(struct perl *p)
{
	char len[4];
	if (p->broken)
		return -1;
	int e = p->pid ? 0 : start(p);
	if (e == 0) {
		put32(p->out.s, p->out.len - 4);
		e = write_all(p->fd, p->out.s, p->out.len);
		if (e == 0)
			e = read_all(p->fd, len, sizeof len);
		if (e == 0) {
			buf_clear(&p->in);
			buf_reserve(&p->in, get32(len));
			p->in.len = get32(len);
			e = read_all(p->fd, p->in.s, p->in.len);
		}
		if (e != 0)
			warn("perl ended while it evaluated an expression: does it call exit?");
	}
	p->at = 0;
	p->broken = e != 0;
	return e != 0 ? -1 : 0;
}

/* The next string of the reply; "" behind the end.  Not NUL-terminated. */
static const char *next(struct perl *p, size_t *n)
{
	*n = p->at + 4 <= p->in.len ? get32(p->in.s + p->at) : 0;
	const char *s = p->in.s + p->at + 4;
	p->at += 4 + *n;
	return p->at <= p->in.len ? s : (*n = 0, "");
}

static size_t next_count(struct perl *p)
{
	size_t n, count = 0;
	for (const char *s = next(p, &n); n; n--)
		count = count * 10 + (size_t)(*s++ - '0');
	return count;
}

/* ---- expressions ---- */

static int added(struct perl *p, const char *code, const char *what)
{
	size_t n;
	if (ask(p) != 0)
		return -1;
	const char *error = next(p, &n), *ours = strstr(code, EXPR_BEGIN);
	if (n) {
		warn("%s '%s' is no perl expression: %.*s", what,
		     ours ? ours + strlen(EXPR_BEGIN) : code, (int)n, error);
		return -1;
	}
	p->slot |= strstr(code, "slot") || strstr(code, "$job");
	p->total |= strstr(code, "total") != NULL;
	return 0;
}

int perl_add(struct perl *p, const char *code, int pos, bool once)
{
	for (size_t i = 0; i < p->nuses; i++)
		if (!strcmp(p->uses[i].code, code) && p->uses[i].pos == pos && p->uses[i].once == once)
			return (int)i;
	begin(p, "x");
	add_text(p, code);
	add_number(p, pos);
	add_text(p, once ? "1" : "");
	if (added(p, code, "{= =}:") != 0)
		return -1;
	p->uses = xrealloc(p->uses, (p->nuses + 1) * sizeof *p->uses);
	p->uses[p->nuses] = (struct use){ xstrdup(code), pos, once };
	return (int)p->nuses++;
}

int perl_set_filter(struct perl *p, const char *code, const char *text)
{
	begin(p, "f");
	add_text(p, code);
	p->filter = true;
	return added(p, text, "--filter:");
}

bool perl_used(const struct perl *p)
{
	return p && (p->nuses || p->filter);
}

bool perl_wants_slot(const struct perl *p)
{
	return p && p->slot;
}

bool perl_wants_total(const struct perl *p)
{
	return p && p->total;
}

bool perl_failed(const struct perl *p)
{
	return p && p->broken;
}

/* ---- values ---- */

static struct perl_values *take_values(struct perl *p, size_t nargs)
{
	size_t n = next_count(p), at = p->at, len, bytes = 0;
	for (size_t i = 0; i < n; i++) {
		next(p, &len);
		bytes += len + 1;
	}
	struct perl_values *v = xrealloc(NULL, sizeof *v + n * sizeof *v->v + bytes);
	*v = (struct perl_values){ .n = n, .nargs = nargs, .v = (char **)(v + 1) };
	char *to = (char *)(v->v + n);
	p->at = at;
	for (size_t i = 0; i < n; i++) {
		const char *s = next(p, &len);
		v->v[i] = memcpy(to, s, len);
		to[len] = '\0';
		to += len + 1;
	}
	return v;
}

/* How one job's part of a reply begins: values, skipped, or an error. */
static int take_reply(struct perl *p, const struct args *a, uint64_t seq, struct perl_values **v)
{
	size_t n;
	const char *kind = next(p, &n);
	*v = NULL;
	if (n == 1 && *kind != 'e') {
		*v = take_values(p, a->n);
		(*v)->skip = *kind == 's';
		return 0;
	}
	const char *text = next(p, &n);
	if (seq)
		warn("job %llu: perl: %.*s", (unsigned long long)seq, (int)n, text);
	else
		warn("perl: %.*s", (int)n, text);
	p->broken = true;
	return -1;
}

static void add_args(struct perl *p, const struct args *a)
{
	for (size_t i = 0; i < a->n; i++)
		add_text(p, a->v[i]);
}

int perl_eval(struct perl *p, const struct perl_job *jobs, size_t n, int64_t total,
              unsigned slots, struct perl_values **values)
{
	begin(p, "j");
	add_number(p, total);
	add_number(p, slots);
	for (size_t i = 0; i < n; i++) {
		add_number(p, (long long)jobs[i].seq);
		add_number(p, jobs[i].slot);
		add_number(p, (long long)jobs[i].args.n);
		add_number(p, (long long)jobs[i].put.n);
		add_args(p, &jobs[i].args);
		add_args(p, &jobs[i].put);
	}
	memset(values, 0, n * sizeof *values);
	int e = ask(p);
	for (size_t i = 0; e == 0 && i < n; i++)
		e = take_reply(p, &jobs[i].args, jobs[i].seq, &values[i]);
	for (size_t i = 0; e != 0 && i < n; i++) {
		perl_values_free(values[i]);
		values[i] = NULL;
	}
	return e;
}

bool perl_skips(const struct perl_values *v)
{
	return v && v->skip;
}

struct perl_values *perl_eval_one(struct perl *p, int number, const struct perl_job *job,
                                  int64_t total)
{
	struct perl_values *v = NULL;
	begin(p, "o");
	add_number(p, number);
	add_number(p, (long long)job->seq);
	add_number(p, job->slot);
	add_number(p, total);
	add_args(p, &job->args);
	return ask(p) == 0 && take_reply(p, &job->args, job->seq, &v) == 0 ? v : NULL;
}

struct perl_values *perl_map(struct perl *p, int number, const struct args *a)
{
	struct perl_values *v = NULL;
	begin(p, "m");
	add_number(p, number);
	add_args(p, a);
	return ask(p) == 0 && take_reply(p, a, 0, &v) == 0 ? v : NULL;
}

/* Where the values of an expression begin among those of a job. */
static size_t first_of(const struct perl *p, const struct perl_values *v, int number)
{
	size_t at = 0;
	for (int i = 0; i < number; i++)
		at += p->uses[i].pos || p->uses[i].once ? 1 : v->nargs;
	return at;
}

const char *perl_value(const struct perl *p, const struct perl_values *v, int number, size_t i,
                       bool *quote)
{
	size_t at = i;
	if (number >= 0 && (size_t)number < p->nuses) {
		bool single = p->uses[number].pos || p->uses[number].once;
		at = first_of(p, v, number) + (single ? 0 : i);
	}
	if (at >= v->n)
		return NULL;
	if (quote)
		*quote = *v->v[at] == 'q';
	return v->v[at] + 1;
}

void perl_values_free(struct perl_values *v)
{
	free(v);
}
