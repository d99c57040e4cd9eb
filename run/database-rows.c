/* database-rows.c - rows: what ended, what is to be run, and who takes it. */
#include "database-impl.h"

#include "utf8.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 16 << 20 }; /* what is longer is written piece by piece, as a BLOB */

/* ---- rows ---- */

static int gather(void *arg, const char *p, size_t n)
{
	struct buf *b = arg;
	if (b->len + n > TEXT_MAX)
		return 1;
	buf_add(b, p, n);
	return 0;
}

static int measure(void *arg, const char *p, size_t n)
{
	(void)p;
	*(int64_t *)arg += (int64_t)n;
	return 0;
}

/* Text if it is text; a long one leaves room, and *later is its length. */
static int bind_stream(struct database *d, sqlite3_stmt *s, int at, const struct record_stream *st,
                       int64_t *later)
{
	buf_clear(&d->text);
	*later = 0;
	int e = record_read(st, gather, &d->text);
	if (e < 0)
		return e;
	if (e == 1) {
		e = record_read(st, measure, later);
		return e ? e : sqlite3_bind_zeroblob64(s, at, (sqlite3_uint64)*later);
	}
	if (utf8_valid(d->text.s, d->text.len))
		return sqlite3_bind_text(s, at, d->text.s, (int)d->text.len, SQLITE_TRANSIENT);
	return sqlite3_bind_blob(s, at, d->text.s, (int)d->text.len, SQLITE_TRANSIENT);
}

struct writing {
	sqlite3_blob *blob;
	int64_t at;
};

static int write_blob(void *arg, const char *p, size_t n)
{
	struct writing *w = arg;
	int e = sqlite3_blob_write(w->blob, p, (int)n, (int)w->at);
	w->at += (int64_t)n;
	return e;
}

static int write_later(struct database *d, const struct record *r, sqlite3_int64 row,
                       const int64_t later[2])
{
	static const char *const columns[] = { "Stdout", "Stderr" };
	int e = 0;
	for (int i = 0; i < 2 && e == 0; i++) {
		struct writing w = { 0 };
		if (!later[i])
			continue;
		e = sqlite3_blob_open(d->db, "main", d->name, columns[i], row, 1, &w.blob);
		if (e == SQLITE_OK)
			e = record_read(&r->stream[i], write_blob, &w);
		int closed = sqlite3_blob_close(w.blob);
		e = e ? e : closed;
	}
	return e;
}

/* To the millisecond, as the job log has them. */
static double seconds(int64_t ns)
{
	int64_t ms = ns / 1000000;
	return (double)ms / 1000;
}

static void bind_facts(sqlite3_stmt *s, const struct record *r, const char *host, int at)
{
	int val, sig;
	record_ending(r->result, &val, &sig);
	sqlite3_bind_text(s, at, host, -1, SQLITE_TRANSIENT);
	sqlite3_bind_double(s, at + 1, seconds(r->result->start_ns));
	sqlite3_bind_double(s, at + 2, seconds(r->result->end_ns - r->result->start_ns));
	sqlite3_bind_int64(s, at + 3, r->send);
	sqlite3_bind_int64(s, at + 4, r->receive);
	sqlite3_bind_int(s, at + 5, val);
	sqlite3_bind_int(s, at + 6, sig);
	sqlite3_bind_text(s, at + 7, r->command, -1, SQLITE_TRANSIENT);
}

static void bind_values(struct database *d, const struct task *t)
{
	for (size_t i = 0; i < d->columns; i++) {
		record_value(&d->values, t, i, d->columns);
		if (i < t->n)
			sqlite3_bind_text(d->insert, (int)i + FIXED + 1, d->values.s,
			                  (int)d->values.len, SQLITE_TRANSIENT);
	}
}

static int finish(struct database *d, sqlite3_stmt *s, int e)
{
	if (e == 0 && sqlite3_step(s) != SQLITE_DONE)
		e = -1;
	if (e != 0)
		database_failed(d, e < -1 ? prong_strerror(e) : "cannot write a row");
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return e ? -1 : 0;
}

int database_add(struct database *d, const struct record *r)
{
	int64_t later[2] = { 0, 0 };
	if (database_ready(d, r->task) != 0 || database_begin(d) != 0)
		return -1;
	sqlite3_bind_int64(d->insert, 1, (sqlite3_int64)r->task->seq);
	bind_facts(d->insert, r, ":", 2);
	bind_values(d, r->task);
	int at = FIXED + (int)d->columns + 1;
	int e = bind_stream(d, d->insert, at, &r->stream[0], &later[0]);
	if (e == 0)
		e = bind_stream(d, d->insert, at + 1, &r->stream[1], &later[1]);
	e = finish(d, d->insert, e);
	if (e == 0 && write_later(d, r, sqlite3_last_insert_rowid(d->db), later) != 0)
		e = database_failed(d, "cannot write a long output");
	return e ? e : database_flush(d, false);
}

int database_put(struct database *d, const struct task *t, const char *command)
{
	if (database_ready(d, t) != 0 || database_begin(d) != 0)
		return -1;
	sqlite3_bind_int64(d->insert, 1, (sqlite3_int64)t->seq);
	sqlite3_bind_int(d->insert, 5, 0);
	sqlite3_bind_int(d->insert, 7, DATABASE_READY);
	sqlite3_bind_text(d->insert, FIXED, command, -1, SQLITE_TRANSIENT);
	bind_values(d, t);
	int e = finish(d, d->insert, 0);
	return e ? e : database_flush(d, false);
}

/* A number, or `none` where the query finds no row. */
static int64_t query(struct database *d, struct buf *sql, int64_t none)
{
	sqlite3_stmt *s;
	if (database_prepare(d, &s, sql) != 0)
		return -1;
	int e = sqlite3_step(s);
	int64_t n = e == SQLITE_ROW    ? sqlite3_column_int64(s, 0)
	            : e == SQLITE_DONE ? none
	                               : database_failed(d, "database");
	sqlite3_finalize(s);
	return n;
}

int64_t database_last(struct database *d)
{
	struct buf sql = { 0 };
	if (d->pending)
		return 0;
	buf_fmt(&sql, "SELECT max(Seq) FROM %s", d->table);
	return query(d, &sql, 0);
}

/* ---- workers: a row is known by its rowid, for Seq need not be one row's ---- */

static int prepare_worker(struct database *d)
{
	struct buf sql = { 0 };
	if (d->take)
		return 0;
	buf_fmt(&sql, "SELECT *, _rowid_ FROM %s WHERE Exitval = %d ORDER BY Seq LIMIT 1", d->table,
	        DATABASE_READY);
	int e = database_prepare(d, &d->take, &sql);
	buf_fmt(&sql, "UPDATE %s SET Exitval = %d WHERE _rowid_ = ? AND Exitval = %d", d->table,
	        DATABASE_TAKEN, DATABASE_READY);
	e = e ? e : database_prepare(d, &d->mark, &sql);
	buf_fmt(&sql, "UPDATE %s SET Exitval = ? WHERE _rowid_ = ? AND Exitval = %d", d->table,
	        DATABASE_TAKEN);
	e = e ? e : database_prepare(d, &d->release, &sql);
	buf_fmt(&sql, "UPDATE %s SET Host = ?, Starttime = ?, JobRuntime = ?, Send = ?, "
	              "Receive = ?, Exitval = ?, _Signal = ?, Command = ?, Stdout = ?, Stderr = ? "
	              "WHERE _rowid_ = ?", d->table);
	return e ? e : database_prepare(d, &d->update, &sql);
}

static void copy_row(struct database *d, struct args *a, uint64_t *seq, int64_t *row)
{
	*row = sqlite3_column_int64(d->take, (int)(FIXED + d->columns) + 2);
	*seq = (uint64_t)sqlite3_column_int64(d->take, 0);
	buf_clear(&d->values);
	size_t n = 0;
	for (size_t i = 0; i < d->columns; i++) {
		const unsigned char *v = sqlite3_column_text(d->take, (int)(FIXED + i));
		if (!v)
			break;
		buf_add(&d->values, v, strlen((const char *)v) + 1);
		n++;
	}
	d->v = xrealloc(d->v, (n + 1) * sizeof *d->v);
	char *p = d->values.s;
	for (size_t i = 0; i < n; i++, p += strlen(p) + 1)
		d->v[i] = p;
	d->v[n] = NULL;
	*a = (struct args){ .v = d->v, .n = n };
}

int database_take(struct database *d, struct args *a, uint64_t *seq, int64_t *row)
{
	if (prepare_worker(d) != 0 || database_flush(d, true) != 0 || database_begin(d) != 0)
		return -1;
	int found = sqlite3_step(d->take), e = 0;
	if (found == SQLITE_ROW) {
		copy_row(d, a, seq, row);
		sqlite3_bind_int64(d->mark, 1, *row);
		e = finish(d, d->mark, 0);
	} else if (found != SQLITE_DONE) {
		e = database_failed(d, "cannot take a job");
	}
	sqlite3_reset(d->take);
	if (e == 0)
		e = database_flush(d, true);
	return e ? e : found == SQLITE_ROW;
}

int database_done(struct database *d, const struct record *r)
{
	char host[256] = "";
	int64_t later[2] = { 0, 0 };
	gethostname(host, sizeof host - 1);
	if (database_begin(d) != 0)
		return -1;
	bind_facts(d->update, r, host, 1);
	int e = bind_stream(d, d->update, 9, &r->stream[0], &later[0]);
	if (e == 0)
		e = bind_stream(d, d->update, 10, &r->stream[1], &later[1]);
	sqlite3_bind_int64(d->update, 11, r->task->row);
	e = finish(d, d->update, e);
	if (e == 0 && write_later(d, r, r->task->row, later) != 0)
		e = database_failed(d, "cannot write a long output");
	return e ? e : database_flush(d, true);
}

int database_release(struct database *d, const struct task *t, int exitval)
{
	if (database_begin(d) != 0)
		return -1;
	sqlite3_bind_int(d->release, 1, exitval);
	sqlite3_bind_int64(d->release, 2, t->row);
	return finish(d, d->release, 0) ? -1 : database_flush(d, true);
}

int64_t database_open_rows(struct database *d)
{
	struct buf sql = { 0 };
	buf_fmt(&sql, "SELECT count(*) FROM %s WHERE Exitval IN (%d, %d)", d->table, DATABASE_READY,
	        DATABASE_TAKEN);
	return query(d, &sql, 0);
}
