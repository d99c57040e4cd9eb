/* inputs.c - the sources combined lazily: product, linked, shuffled.
 *
 * The first group of linked sources is pulled as jobs need it; the other sources of a
 * product must be known whole, so they are read before the first job. */
#include "source.h"

#include "buf.h"
#include "columns.h"
#include "shuffle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct member {
	struct source *source;
	bool known;         /* all its records are in `all` */
	char **all;
	size_t nall, cap;
	struct buf lead;    /* group 0: the current record */
	bool have_lead, begun;
};

struct inputs {
	const struct config *cfg;
	struct member *v;
	size_t n, ngroups;
	size_t *first;  /* first source of each group; [ngroups] is n */
	size_t *index;  /* per group, place in the product; of group 0 the record number */
	char **row;     /* the current record of each source */
	bool begun;
	const struct source *last;
	int64_t total;
	struct columns columns;
	struct names names;
	struct shuffle *shuffle; /* NULL: in order */
};

static void remember(struct member *m, const char *r)
{
	if (m->nall == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->all = xrealloc(m->all, m->cap * sizeof *m->all);
	}
	m->all[m->nall++] = xstrdup(r);
}

/* Read a source whole. */
static int learn(struct inputs *in, struct member *m)
{
	char *r;
	int e = 0;
	in->last = m->source;
	while (!m->known && (e = source_next(m->source, &r)) == 1)
		remember(m, r);
	m->known |= e == 0;
	return e;
}

/* ---- setting up ---- */

static void make_groups(struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (i == 0 || !(in->cfg->link || (in->cfg->ninputs && in->cfg->inputs[i].linked)))
			in->first[in->ngroups++] = i;
	in->first[in->ngroups] = in->n;
}

static int64_t count(const struct inputs *in)
{
	int64_t total = 1;
	for (size_t g = 0; g < in->ngroups; g++) {
		int64_t least = -1, most = 0;
		for (size_t i = in->first[g]; i < in->first[g + 1]; i++) {
			int64_t n = source_count(in->v[i].source);
			if (n < 0)
				return -1;
			n += n == 0 && in->n > 1;
			least = least < 0 || n < least ? n : least;
			most = n > most ? n : most;
		}
		if (__builtin_mul_overflow(total, in->cfg->link ? most : least, &total))
			return -1;
	}
	return total;
}

/* --header: the first record of a source names its columns; --skip-first-line drops it. */
static int first_record(struct inputs *in, struct member *m)
{
	char *r;
	if (!in->cfg->header && !in->cfg->skip_first)
		return 0;
	int e = source_wait(m->source, &r);
	if (e < 0)
		warn("cannot read %s: %s", source_name(m->source), strerror(-e));
	if (e != 1 || !in->cfg->header)
		return e < 0 ? -1 : 0;
	columns_begin(&in->columns);
	columns_add(&in->columns, r);
	columns_end(&in->columns);
	struct names *names = &in->names;
	names->v = xrealloc(names->v, (names->n + in->columns.n) * sizeof *names->v);
	for (size_t i = 0; i < in->columns.n; i++)
		names->v[names->n++] = xstrdup(in->columns.v[i]);
	return 0;
}

/* --header 0: the files give the names. */
static void name_by_file(struct inputs *in)
{
	struct names *names = &in->names;
	names->v = xrealloc(names->v, in->n * sizeof *names->v);
	for (size_t i = 0; i < in->n; i++) {
		const struct input_spec *spec = in->cfg->ninputs ? &in->cfg->inputs[i] : NULL;
		names->v[names->n++] = xstrdup(spec && spec->kind == INPUT_FILE ? spec->path : "");
	}
}

static void *zeroed(size_t n)
{
	return memset(xrealloc(NULL, n), 0, n);
}

static int open_all(struct inputs *in)
{
	const struct config *cfg = in->cfg;
	if (columns_init(&in->columns, cfg) != 0)
		return -1;
	if (cfg->header_files)
		name_by_file(in);
	for (size_t i = 0; i < in->n; i++) {
		struct member *m = &in->v[i];
		m->source = source_open(cfg->ninputs ? &cfg->inputs[i] : NULL, cfg);
		if (!m->source || first_record(in, m) != 0)
			return -1;
	}
	return 0;
}

int inputs_open(struct inputs **out, const struct config *cfg)
{
	struct inputs *in = xrealloc(NULL, sizeof *in);
	*in = (struct inputs){ .cfg = cfg, .n = cfg->ninputs ? cfg->ninputs : 1 };
	in->v = zeroed(in->n * sizeof *in->v);
	in->first = zeroed((in->n + 1) * sizeof *in->first);
	in->index = zeroed(in->n * sizeof *in->index);
	in->row = zeroed(in->n * sizeof *in->row);
	if (open_all(in) != 0) {
		inputs_close(in);
		return -1;
	}
	make_groups(in);
	in->last = in->v[0].source;
	in->total = count(in);
	in->shuffle = cfg->shuf ? shuffle_new(cfg->seed) : NULL;
	*out = in;
	return 0;
}

/* ---- combining ---- */

/* --link: all wrap around, the longest decides; needs all of them. */
static int linked_row(struct inputs *in)
{
	static char empty[] = "";
	size_t longest = 0;
	for (size_t i = 0; i < in->n; i++) {
		int e = learn(in, &in->v[i]);
		if (e != 0)
			return e;
		longest = in->v[i].nall > longest ? in->v[i].nall : longest;
	}
	if (in->index[0] >= longest)
		return 0;
	for (size_t i = 0; i < in->n; i++) {
		struct member *m = &in->v[i];
		in->row[i] = m->nall ? m->all[in->index[0] % m->nall] : empty;
	}
	in->index[0]++;
	return 1;
}

/* Group 0 is pulled: one record of each of its sources; the shortest ends it. */
static int pull_lead(struct inputs *in)
{
	static char empty[] = "";
	bool alone = in->first[1] == 1 && in->ngroups == 1;
	for (size_t i = 0; i < in->first[1]; i++) {
		struct member *m = &in->v[i];
		char *r;
		if (m->have_lead)
			continue; /* from the last time, when another had nothing yet */
		in->last = m->source;
		int e = source_next(m->source, &r);
		if (e == 0 && !m->begun && in->n > 1) { /* an empty source is one empty value */
			r = empty;
			e = 1;
		}
		if (e != 1)
			return e;
		m->begun = true;
		in->row[i] = r;
		if (alone)
			return 1; /* the view lives until the next pull: no copy */
		buf_clear(&m->lead);
		buf_str(&m->lead, r);
		in->row[i] = m->lead.s;
		m->have_lead = true;
	}
	for (size_t i = 0; i < in->first[1]; i++)
		in->v[i].have_lead = false;
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
		int e = learn(in, &in->v[i]);
		if (e != 0)
			return e;
		if (!in->v[i].nall) /* an empty source counts as one empty value */
			remember(&in->v[i], "");
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
	int e = in->begun ? 0 : learn_others(in);
	if (e != 0)
		return e;
	if (!in->begun || !turn(in)) {
		in->begun = false; /* if this has to be said again, do not turn twice */
		e = pull_lead(in);
		if (e != 1)
			return e;
		in->begun = true;
	}
	for (size_t g = 1; g < in->ngroups; g++)
		for (size_t i = in->first[g]; i < in->first[g + 1]; i++)
			in->row[i] = in->v[i].all[in->index[g]];
	return 1;
}

static int ordered_next(struct inputs *in, struct args *a)
{
	int e = in->cfg->link ? linked_row(in) : product_row(in);
	*a = (struct args){ .v = in->row, .n = in->n };
	if (e != 1 || !columns_needed(in->cfg))
		return e;
	columns_begin(&in->columns);
	for (size_t i = 0; i < in->n; i++)
		columns_add(&in->columns, in->row[i]);
	columns_end(&in->columns);
	*a = (struct args){ .v = in->columns.v, .n = in->columns.n };
	return 1;
}

int inputs_next(struct inputs *in, struct args *a)
{
	int e;
	if (!in->shuffle)
		return ordered_next(in, a);
	while (!shuffle_full(in->shuffle) && (e = ordered_next(in, a)) != 0) {
		if (e < 0)
			return e;
		shuffle_add(in->shuffle, a);
	}
	return shuffle_next(in->shuffle, a);
}

int inputs_fd(const struct inputs *in)
{
	return source_fd(in->last);
}

const char *inputs_name(const struct inputs *in)
{
	return source_name(in->last);
}

const struct names *inputs_header(const struct inputs *in)
{
	return &in->names;
}

bool inputs_use_stdin(const struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (source_fd(in->v[i].source) == STDIN_FILENO)
			return true;
	return false;
}

int64_t inputs_total(const struct inputs *in)
{
	return in->total;
}

static void free_strings(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

void inputs_close(struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++) {
		source_close(in->v[i].source);
		free_strings(in->v[i].all, in->v[i].nall);
		buf_free(&in->v[i].lead);
	}
	free_strings(in->names.v, in->names.n);
	shuffle_free(in->shuffle);
	columns_free(&in->columns);
	free(in->v);
	free(in->first);
	free(in->index);
	free(in->row);
	free(in);
}
