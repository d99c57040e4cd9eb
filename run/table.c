/* table.c - jobs as records of CSV, TSV or JSON lines.
 *
 * Owns the file.  A record is built in memory while it is small, else in an unlinked file:
 * memory does not depend on what jobs print.  Quoting is that of GNU parallel. */
#include "table.h"

#include "copy.h"
#include "dirs.h"
#include "utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMORY = 256 << 10 };

struct table {
	const struct config *cfg;
	const struct names *names;
	char separator;   /* 0: JSON */
	int fd, scratch;  /* scratch: what is too long for memory; -1: not needed yet */
	struct buf b;     /* the record, or its end */
	int64_t spilled;  /* bytes of it in scratch */
	size_t columns;   /* of values */
	bool header;      /* is still to be written */
	struct utf8 text; /* JSON: of the string being written */
};

/* ---- the file ---- */

static int open_file(const struct config *cfg, bool *fresh)
{
	struct stat st;
	const char *name = cfg->results;
	int add = cfg->resume != RESUME_NO ? O_APPEND : O_TRUNC;
	*fresh = true;
	if (!strncmp(name, "-.", 2))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | add, 0666);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		*fresh = st.st_size == 0;
	return fd;
}

struct table *table_new(const struct config *cfg, const struct names *names)
{
	const char *end = strrchr(cfg->results, '.');
	bool fresh;
	int fd = open_file(cfg, &fresh);
	if (fd < 0) {
		warn("--results: cannot write '%s':", cfg->results);
		return NULL;
	}
	struct table *t = xrealloc(NULL, sizeof *t);
	*t = (struct table){ .cfg = cfg, .names = names, .fd = fd, .scratch = -1 };
	t->separator = !strcmp(end, ".csv") ? ',' : !strcmp(end, ".tsv") ? '\t' : 0;
	t->header = fresh && t->separator;
	return t;
}

int table_fd(const struct table *t)
{
	return t->fd;
}

const char *table_name(const struct table *t)
{
	return !strncmp(t->cfg->results, "-.", 2) ? NULL : t->cfg->results;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	close(t->fd);
	if (t->scratch >= 0)
		close(t->scratch);
	buf_free(&t->b);
	free(t);
}

/* ---- building a record ---- */

static int spill(struct table *t)
{
	int e = 0;
	if (t->scratch < 0 && (t->scratch = dirs_unnamed(tmpdir_of(t->cfg))) < 0)
		return t->scratch;
	e = pwrite_full(t->scratch, t->b.s, t->b.len, t->spilled);
	t->spilled += (int64_t)t->b.len;
	t->b.len = 0;
	return e;
}

static int room(struct table *t)
{
	return t->b.len > MEMORY ? spill(t) : 0;
}

/* ---- CSV and TSV ---- */

/* Blanks, control characters, quotes, separators, and bytes that may be a control character
 * in an 8-bit character set. */
static bool special(const struct table *t, unsigned char c)
{
	return c <= ' ' || c == '"' || c == (unsigned char)t->separator || (c >= 0x7f && c <= 0xa0);
}

static int find_special(void *arg, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (special(arg, (unsigned char)p[i]))
			return 1;
	return 0;
}

static int put_doubled(void *arg, const char *p, size_t n)
{
	struct table *t = arg;
	while (n > 0) {
		const char *q = memchr(p, '"', n);
		size_t len = q ? (size_t)(q - p) + 1 : n;
		buf_add(&t->b, p, len);
		if (q)
			buf_chr(&t->b, '"');
		p += len;
		n -= len;
	}
	return room(t);
}

static void put_field(struct table *t, const char *s, size_t n)
{
	if (!find_special(t, s, n)) {
		buf_add(&t->b, s, n);
		return;
	}
	buf_chr(&t->b, '"');
	(void)put_doubled(t, s, n);
	buf_chr(&t->b, '"');
}

static int put_stream_field(struct table *t, const struct record_stream *s)
{
	int e = record_read(s, find_special, t);
	bool quote = e == 1;
	buf_chr(&t->b, t->separator);
	if (e < 0)
		return e;
	if (quote)
		buf_chr(&t->b, '"');
	e = record_read(s, put_doubled, t);
	if (quote)
		buf_chr(&t->b, '"');
	return e;
}

/* At once: records may wait for their turn. */
static int write_header(struct table *t)
{
	static const char *const names[] = { "Seq", "Host", "Starttime", "JobRuntime", "Send",
		                             "Receive", "Exitval", "Signal", "Command" };
	struct buf name = { 0 };
	struct target to = { .fd = t->fd };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		buf_fmt(&t->b, "%s%c", names[i], t->separator);
	for (size_t i = 0; i < t->columns; i++) {
		record_column(&name, t->names, i);
		put_field(t, name.s, name.len);
		buf_chr(&t->b, t->separator);
	}
	buf_fmt(&t->b, "Stdout%cStderr\n", t->separator);
	buf_free(&name);
	int e = write_full(&to, t->b.s, t->b.len);
	t->header = false;
	buf_clear(&t->b);
	return e;
}

static int csv_record(struct table *t, const struct record *r, const char *start, const char *run)
{
	struct buf value = { 0 };
	char sep = t->separator;
	int val, sig, e;
	record_ending(r->result, &val, &sig);
	buf_fmt(&t->b, "%" PRIu64 "%c:%c%s%c%s%c%" PRId64 "%c%" PRId64 "%c%d%c%d%c", r->task->seq,
	        sep, sep, start, sep, run, sep, r->send, sep, r->receive, sep, val, sep, sig, sep);
	put_field(t, r->command, strlen(r->command));
	for (size_t i = 0; i < t->columns; i++) {
		record_value(&value, r->task, i, t->columns);
		buf_chr(&t->b, sep);
		put_field(t, value.s, value.len);
	}
	buf_free(&value);
	e = put_stream_field(t, &r->stream[0]);
	if (e == 0)
		e = put_stream_field(t, &r->stream[1]);
	buf_chr(&t->b, '\n');
	return e;
}

/* ---- JSON ---- */

static int put_json(void *arg, const char *p, size_t n)
{
	struct table *t = arg;
	utf8_json(&t->text, &t->b, p, n);
	return room(t);
}

static void put_string(struct table *t, const char *s)
{
	t->text = (struct utf8){ 0 };
	buf_chr(&t->b, '"');
	(void)put_json(t, s, strlen(s));
	utf8_json_end(&t->text, &t->b);
	buf_chr(&t->b, '"');
}

static int put_stream_string(struct table *t, const char *name, const struct record_stream *s)
{
	t->text = (struct utf8){ 0 };
	buf_fmt(&t->b, ", \"%s\": \"", name);
	int e = record_read(s, put_json, t);
	utf8_json_end(&t->text, &t->b);
	buf_chr(&t->b, '"');
	return e;
}

static int json_record(struct table *t, const struct record *r, const char *start, const char *run)
{
	int val, sig, e;
	record_ending(r->result, &val, &sig);
	buf_fmt(&t->b, "{ \"Seq\": %" PRIu64 ", \"Host\": \":\", \"Starttime\": %s, "
	               "\"JobRuntime\": %s, \"Send\": %" PRId64 ", \"Receive\": %" PRId64
	               ", \"Exitval\": %d, \"Signal\": %d, \"Command\": ",
	        r->task->seq, start, run, r->send, r->receive, val, sig);
	put_string(t, r->command);
	buf_str(&t->b, ", \"V\": [ ");
	for (size_t i = 0; i < r->task->n; i++) {
		if (i)
			buf_chr(&t->b, ',');
		put_string(t, r->task->v[i]);
	}
	buf_str(&t->b, " ]");
	e = put_stream_string(t, "Stdout", &r->stream[0]);
	if (e == 0)
		e = put_stream_string(t, "Stderr", &r->stream[1]);
	buf_str(&t->b, " }\n");
	return e;
}

/* ---- all of it ---- */

static void seconds(char *to, size_t size, int64_t ns)
{
	int64_t ms = (ns + 500000) / 1000000;
	snprintf(to, size, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

void table_first(struct table *t, size_t values)
{
	if (!t->columns)
		t->columns = t->names && t->names->n > values ? t->names->n : values;
}

int table_record(struct table *t, const struct record *r, const void **mem, int *fd, int64_t *len)
{
	char start[32], run[32];
	const struct prong_result *res = r->result;
	buf_clear(&t->b);
	t->spilled = 0;
	table_first(t, r->task->n);
	seconds(start, sizeof start, res->start_ns);
	seconds(run, sizeof run, res->end_ns - res->start_ns);
	int e = t->header ? write_header(t) : 0;
	if (e == 0)
		e = t->separator ? csv_record(t, r, start, run) : json_record(t, r, start, run);
	if (e == 0 && t->spilled)
		e = spill(t);
	*mem = t->spilled ? NULL : t->b.s;
	*fd = t->spilled ? t->scratch : -1;
	*len = t->spilled ? t->spilled : (int64_t)t->b.len;
	return e;
}
