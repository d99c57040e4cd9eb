/* source.c - one source of input: bytes of a file, or values of the command line, cut into
 * records. */
#include "source.h"

#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024 };

struct source {
	const struct config *cfg;
	const struct input_spec *spec; /* NULL: standard input */
	const char *name;
	int fd;
	struct buf data;   /* read and not yet handed out, from `at` */
	size_t at;
	bool eof;
	size_t next;       /* of the values */
	const char *within; /* the rest of a value that holds separators, or NULL */
	struct buf record;
	bool has_nul, told_nul;
};

struct source *source_open(const struct input_spec *spec, const struct config *cfg)
{
	struct source *s = xrealloc(NULL, sizeof *s);
	*s = (struct source){ .cfg = cfg, .spec = spec, .fd = STDIN_FILENO,
		              .name = "standard input" };
	buf_clear(&s->data);
	if (!spec || (spec->kind == INPUT_FILE && !strcmp(spec->path, "-")))
		return s;
	s->fd = -1;
	s->name = "arguments";
	if (spec->kind == INPUT_ARGS)
		return s;
	s->name = spec->path;
	s->fd = open(spec->path, O_RDONLY | O_CLOEXEC);
	if (s->fd >= 0)
		return s;
	warn("cannot open the input file '%s':", spec->path);
	source_close(s);
	return NULL;
}

/* ---- files ---- */

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
	if (*s->cfg->delim && !s->has_nul)
		s->has_nul = memchr(s->data.s + s->data.len, '\0', (size_t)n) != NULL;
	s->data.len += (size_t)n;
	s->eof = n == 0;
	return n;
}

/* A newline inside quotes is part of the record. */
static char *csv_end(char *p, size_t n)
{
	bool quoted = false;
	for (char *end = p + n; p < end; p++) {
		if (*p == '"')
			quoted = !quoted;
		if (*p == '\n' && !quoted)
			return p;
	}
	return NULL;
}

static char *record_end(const struct config *cfg, char *p, size_t n, size_t seen)
{
	size_t len = cfg->delim_len;
	if (cfg->csv)
		return csv_end(p, n);
	if (len == 1)
		return n > seen ? memchr(p + seen, *cfg->delim, n - seen) : NULL;
	seen = seen > len ? seen - len : 0; /* a separator may lie over the edge */
	return memmem(p + seen, n - seen, cfg->delim, len);
}

/* A NUL cannot be in an argument: as under GNU parallel it becomes \0, two bytes. */
static char *without_nul(struct source *s, char *from, size_t len)
{
	static const char text[] = "\\0";
	char *nul = s->has_nul ? memchr(from, '\0', len) : NULL;
	if (!nul)
		return from;
	if (!s->told_nul)
		warn("%s: a NUL byte, which no argument can hold, becomes \\0; did you mean -0?",
		     s->name);
	s->told_nul = true;
	buf_clear(&s->record);
	for (char *end = from + len; nul; nul = memchr(from, '\0', (size_t)(end - from))) {
		buf_add(&s->record, from, (size_t)(nul - from));
		buf_str(&s->record, text);
		len -= (size_t)(nul + 1 - from);
		from = nul + 1;
	}
	buf_add(&s->record, from, len);
	return s->record.s;
}

static int next_line(struct source *s, char **r)
{
	size_t seen = 0;
	for (;;) {
		char *from = s->data.s + s->at;
		size_t have = s->data.len - s->at;
		char *end = have ? record_end(s->cfg, from, have, seen) : NULL;
		seen = have;
		if (end) {
			*end = '\0';
			s->at += (size_t)(end - from) + (s->cfg->csv ? 1 : s->cfg->delim_len);
			*r = without_nul(s, from, (size_t)(end - from));
			return 1;
		}
		if (s->eof && have) {
			s->at = s->data.len; /* buf keeps a NUL behind its end */
			s->data.s[s->data.len] = '\0';
			*r = without_nul(s, from, have);
			return 1;
		}
		if (s->eof)
			return 0;
		ssize_t n = more(s);
		if (n < 0)
			return (int)n;
	}
}

/* ---- values of the command line: they are cut like lines of a file ---- */

static const char *cut(const struct config *cfg, const char *value)
{
	return *cfg->delim ? strstr(value, cfg->delim) : NULL;
}

static int next_value(struct source *s, char **r)
{
	const char *from = s->within;
	if (!from && s->next >= s->spec->nvalues)
		return 0;
	if (!from)
		from = s->spec->values[s->next++];
	const char *end = s->cfg->csv ? NULL : cut(s->cfg, from);
	s->within = end ? end + s->cfg->delim_len : NULL;
	buf_clear(&s->record);
	buf_add(&s->record, from, end ? (size_t)(end - from) : strlen(from));
	*r = s->record.s;
	return 1;
}

int64_t source_count(const struct source *s)
{
	int64_t n = 0;
	if (s->fd >= 0 || s->cfg->eof_str || s->cfg->no_run_if_empty)
		return -1;
	for (size_t i = 0; i < s->spec->nvalues; i++) {
		n++;
		for (const char *p = s->spec->values[i]; (p = s->cfg->csv ? NULL : cut(s->cfg, p));)
			n++, p += s->cfg->delim_len;
	}
	return n - (int64_t)s->next;
}

/* ---- both ---- */

static void end_here(struct source *s)
{
	s->eof = true;
	s->at = s->data.len;
	s->next = s->spec ? s->spec->nvalues : 0;
	s->within = NULL;
}

int source_next(struct source *s, char **r)
{
	for (;;) {
		int e = s->fd >= 0 ? next_line(s, r) : next_value(s, r);
		if (e != 1)
			return e;
		if (s->cfg->eof_str && !strcmp(*r, s->cfg->eof_str)) {
			end_here(s);
			return 0;
		}
		if (!s->cfg->no_run_if_empty || (*r)[strspn(*r, " \t")])
			return 1;
	}
}

int source_wait(struct source *s, char **r)
{
	struct pollfd p = { s->fd, POLLIN, 0 };
	int e;
	while ((e = source_next(s, r)) == -EAGAIN)
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
	return e;
}

int source_fd(const struct source *s)
{
	return s->fd;
}

const char *source_name(const struct source *s)
{
	return s->name;
}

void source_close(struct source *s)
{
	if (!s)
		return;
	if (s->fd > STDERR_FILENO)
		close(s->fd);
	buf_free(&s->data);
	buf_free(&s->record);
	free(s);
}
