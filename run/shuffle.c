/* shuffle.c - Fisher-Yates, one step for each record handed out.  Numbers: splitmix64
 * (Steele, Lea, Flood 2014), the bias of the remainder is below 2^-32 for any count here. */
#include "shuffle.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct row {
	size_t n;
	char *v[];
};
struct shuffle {
	struct row **rows;
	size_t n, cap, given;
	uint64_t state;
	struct row *out;
	bool full;
};

struct shuffle *shuffle_new(const char *seed)
{
	struct shuffle *s = memset(xrealloc(NULL, sizeof *s), 0, sizeof *s);
	if (!seed && getrandom(&s->state, sizeof s->state, 0) < 0)
		s->state = (uintptr_t)s;
	for (; seed && *seed; seed++)
		s->state = s->state * 31 + (unsigned char)*seed;
	return s;
}

static uint64_t next_number(struct shuffle *s)
{
	uint64_t z = s->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void shuffle_add(struct shuffle *s, const struct args *a)
{
	struct row *row = xrealloc(NULL, sizeof *row + a->n * sizeof *row->v);
	row->n = a->n;
	for (size_t i = 0; i < a->n; i++)
		row->v[i] = xstrdup(a->v[i]);
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->rows = xrealloc(s->rows, s->cap * sizeof *s->rows);
	}
	s->rows[s->n++] = row;
}

bool shuffle_full(const struct shuffle *s)
{
	return s->full;
}

static void free_row(struct row *row)
{
	for (size_t i = 0; row && i < row->n; i++)
		free(row->v[i]);
	free(row);
}

int shuffle_next(struct shuffle *s, struct args *a)
{
	s->full = true;
	free_row(s->out);
	s->out = NULL;
	if (s->given == s->n)
		return 0;
	size_t pick = s->given + next_number(s) % (s->n - s->given);
	s->out = s->rows[pick];
	s->rows[pick] = s->rows[s->given++];
	*a = (struct args){ .v = s->out->v, .n = s->out->n };
	return 1;
}

void shuffle_free(struct shuffle *s)
{
	if (!s)
		return;
	free_row(s->out);
	for (size_t i = s->given; i < s->n; i++)
		free_row(s->rows[i]);
	free(s->rows);
	free(s);
}
