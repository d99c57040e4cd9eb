/* source.c - records from arguments, files and standard input, combined lazily.
 *
 * The first group of linked sources is pulled as jobs need it; the other sources of a
 * product must be known whole, so they are read before the first job. */
#include "source.h"

#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024 };

/* ---- one source ---- */

struct source {
	const struct input_spec *spec; /* NULL: standard input */
	const char *name;
	int fd;
	struct buf data;   /* read and not yet handed out, from `at` */
	size_t at;
	bool eof, linked;
	size_t next;       /* of the values */
	char **all;        /* memorised records */
	size_t nall, cap;
	bool known;        /* all of them are in `all` */
};

struct inputs {
	const struct config *cfg;
	struct source *v;
	size_t n, ngroups;
	size_t *first;  /* first source of each group; [ngroups] is n */
	size_t *index;  /* per group, place in the product; of group 0 the record number */
	char **row;     /* the current record */
	char **lead;    /* values of group 0 */
	bool have_lead;
	const struct source *last;
	int64_t total;
};

static ssize_t more(struct source *s)
{
	struct pollfd p = { s->fd, POLLIN, 0 };
	if (poll(&p, 1, 0) == 0)
		return -EAGAIN;
	if (s->at) {
		memmove(s->data.s, s->data.s + s->at, s->data.len - s->at);
		s->data.len -= s->at;
		s->at = 0;
	}
	buf_reserve(&s->data, BLOCK);
	ssize_t n = read(s->fd, s->data.s + s->data.len, BLOCK);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	s->data.len += (size_t)n;
	s->eof = n == 0;
	return n;
}

/* The next record of a file: 1, 0 at its end, -EAGAIN, -errno.  *r is the caller's. */
static int next_line(struct source *s, const struct config *cfg, char **r)
{
	size_t seen = 0;
	for (;;) {
		char *from = s->data.s ? s->data.s + s->at : NULL;
		size_t have = s->data.len - s->at;
		char *end = have > seen ? memchr(from + seen, cfg->delim, have - seen) : NULL;
		seen = have;
		if (end || (s->eof && have)) {
			size_t len = end ? (size_t)(end - from) : have;
			struct buf b = { 0 };
			buf_add(&b, from, len);
			s->at += len + (end != NULL);
			*r = b.s;
			return 1;
		}
		if (s->eof)
			return 0;
		ssize_t n = more(s);
		if (n < 0)
			return (int)n;
	}
}

static int next_value(struct source *s, char **r)
{
	if (s->next >= s->spec->nvalues)
		return 0;
	*r = xstrdup(s->spec->values[s->next++]);
	return 1;
}

static int pull(struct source *s, const struct config *cfg, char **r)
{
	int e;
	for (;;) {
		if (s->known && s->all) { /* already memorised */
			if (s->next >= s->nall)
				return 0;
			*r = xstrdup(s->all[s->next++]);
			return 1;
		}
		e = s->fd >= 0 ? next_line(s, cfg, r) : next_value(s, r);
		if (e != 1)
			return e;
		if (cfg->eof_str && !strcmp(*r, cfg->eof_str)) {
			free(*r);
			s->eof = true;
			s->at = s->data.len;
			s->next = s->spec ? s->spec->nvalues : 0;
			return 0;
		}
		if (!cfg->no_run_if_empty || (*r)[strspn(*r, " \t")])
			return 1;
		free(*r);
	}
}

static int memorise(struct source *s, const struct config *cfg)
{
	char *r;
	int e = 0;
	while (!s->known && (e = pull(s, cfg, &r)) == 1) {
		if (s->nall == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 64;
			s->all = xrealloc(s->all, s->cap * sizeof *s->all);
		}
		s->all[s->nall++] = r;
	}
	if (e < 0)
		return e;
	s->known = true;
	return 0;
}

/* ---- combining ---- */

static int open_source(struct source *s, const struct input_spec *spec)
{
	*s = (struct source){ .spec = spec, .fd = STDIN_FILENO, .name = "standard input" };
	if (!spec || (spec->kind == INPUT_FILE && !strcmp(spec->path, "-")))
		return 0;
	s->fd = -1;
	s->name = "arguments";
	if (spec->kind == INPUT_ARGS)
		return 0;
	s->name = spec->path;
	s->fd = open(spec->path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		warn("cannot open the input file '%s':", spec->path);
	return s->fd < 0 ? -1 : 0;
}

static void make_groups(struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++) {
		struct source *s = &in->v[i];
		s->linked = i > 0 && (in->cfg->link || (s->spec && s->spec->linked));
		if (!s->linked)
			in->first[in->ngroups++] = i;
	}
	in->first[in->ngroups] = in->n;
}

static int64_t count(const struct inputs *in)
{
	int64_t total = 1;
	for (size_t g = 0; g < in->ngroups; g++) {
		int64_t least = -1, most = 0;
		for (size_t i = in->first[g]; i < in->first[g + 1]; i++) {
			const struct source *s = &in->v[i];
			if (s->fd >= 0)
				return -1;
			int64_t n = (int64_t)s->spec->nvalues;
			least = least < 0 || n < least ? n : least;
			most = n > most ? n : most;
		}
		total *= in->cfg->link ? most : least;
	}
	return in->cfg->eof_str || in->cfg->no_run_if_empty ? -1 : total;
}

int inputs_open(struct inputs **out, const struct config *cfg)
{
	struct inputs *in = xrealloc(NULL, sizeof *in);
	*in = (struct inputs){ .cfg = cfg, .n = cfg->ninputs ? cfg->ninputs : 1 };
	in->v = xrealloc(NULL, in->n * sizeof *in->v);
	in->first = xrealloc(NULL, (in->n + 1) * sizeof *in->first);
	in->index = memset(xrealloc(NULL, in->n * sizeof *in->index), 0,
	                   in->n * sizeof *in->index);
	in->row = memset(xrealloc(NULL, in->n * sizeof *in->row), 0, in->n * sizeof *in->row);
	in->lead = memset(xrealloc(NULL, in->n * sizeof *in->lead), 0, in->n * sizeof *in->lead);
	for (size_t i = 0; i < in->n; i++)
		if (open_source(&in->v[i], cfg->ninputs ? &cfg->inputs[i] : NULL) != 0)
			return -1;
	make_groups(in);
	in->last = &in->v[0];
	in->total = count(in);
	*out = in;
	return 0;
}

/* --link: all wrap around, the longest decides; needs all of them. */
static int linked_row(struct inputs *in)
{
	static char empty[] = "";
	size_t longest = 0;
	for (size_t i = 0; i < in->n; i++) {
		in->last = &in->v[i];
		int e = memorise(&in->v[i], in->cfg);
		if (e != 0)
			return e;
		longest = in->v[i].nall > longest ? in->v[i].nall : longest;
	}
	if (in->index[0] >= longest)
		return 0;
	for (size_t i = 0; i < in->n; i++) {
		struct source *s = &in->v[i];
		in->row[i] = s->nall ? s->all[in->index[0] % s->nall] : empty;
	}
	in->index[0]++;
	return 1;
}

/* Group 0 is pulled: one value of each of its sources; the shortest ends it. */
static int pull_lead(struct inputs *in)
{
	for (size_t i = 0; i < in->first[1]; i++) {
		if (in->lead[i])
			continue; /* from the last time, when another had nothing yet */
		in->last = &in->v[i];
		int e = pull(&in->v[i], in->cfg, &in->lead[i]);
		if (e != 1) {
			in->lead[i] = NULL;
			return e;
		}
	}
	return 1;
}

static size_t group_len(const struct inputs *in, size_t g)
{
	size_t least = in->v[in->first[g]].nall;
	for (size_t i = in->first[g]; i < in->first[g + 1]; i++)
		least = in->v[i].nall < least ? in->v[i].nall : least;
	return least;
}

static int learn_others(struct inputs *in)
{
	for (size_t i = in->first[1]; i < in->n; i++) {
		in->last = &in->v[i];
		int e = memorise(&in->v[i], in->cfg);
		if (e != 0)
			return e;
		if (!in->v[i].nall) { /* an empty source counts as one empty value */
			in->v[i].all = xrealloc(in->v[i].all, sizeof(char *));
			in->v[i].all[in->v[i].nall++] = xstrdup("");
		}
	}
	return 0;
}

/* The last group turns fastest, like the digits of a counter. */
static bool turn(struct inputs *in)
{
	for (size_t g = in->ngroups; g-- > 1;) {
		if (++in->index[g] < group_len(in, g))
			return true;
		in->index[g] = 0;
	}
	return false;
}

static int product_row(struct inputs *in)
{
	int e = in->have_lead ? 0 : learn_others(in);
	if (e != 0)
		return e;
	if (!in->have_lead || !turn(in)) {
		for (size_t i = 0; in->have_lead && i < in->first[1]; i++) {
			free(in->lead[i]);
			in->lead[i] = NULL;
		}
		in->have_lead = false;
		e = pull_lead(in);
		if (e != 1)
			return e;
		in->have_lead = true;
	}
	for (size_t g = 0; g < in->ngroups; g++)
		for (size_t i = in->first[g]; i < in->first[g + 1]; i++)
			in->row[i] = g ? in->v[i].all[in->index[g]] : in->lead[i];
	return 1;
}

int inputs_next(struct inputs *in, struct args *a)
{
	int e = in->cfg->link ? linked_row(in) : product_row(in);
	*a = (struct args){ .v = in->row, .n = in->n };
	return e;
}

int inputs_fd(const struct inputs *in)
{
	return in->last->fd;
}

const char *inputs_name(const struct inputs *in)
{
	return in->last->name;
}

bool inputs_use_stdin(const struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].fd == STDIN_FILENO)
			return true;
	return false;
}

int64_t inputs_total(const struct inputs *in)
{
	return in->total;
}

void inputs_close(struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++) {
		struct source *s = &in->v[i];
		if (s->fd > STDERR_FILENO)
			close(s->fd);
		for (size_t k = 0; k < s->nall; k++)
			free(s->all[k]);
		free(s->all);
		buf_free(&s->data);
		free(in->lead[i]);
	}
	free(in->v);
	free(in->first);
	free(in->index);
	free(in->row);
	free(in->lead);
	free(in);
}
