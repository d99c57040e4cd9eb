/* database.c - jobs as rows of an SQLite table.
 *
 * Owns the connection.  Rows of a run are written in transactions of up to a second, since
 * each costs a flush of the disk; a job is taken in one of its own, so that no two workers
 * take the same. */
#include "database.h"

#ifdef HAVE_SQLITE

#include "copy.h"
#include "timing.h"
#include "utf8.h"

#include <ctype.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TEXT_MAX = 16 << 20, /* what is longer is written piece by piece, as a BLOB */
	FIXED = 9,           /* columns before the values */
	BUSY_MS = 60000
};

struct database {
	sqlite3 *db;
	char *path, *name, *table; /* table: its name, quoted */
	const struct names *names;
	bool url;           /* the layout of GNU parallel */
	bool pending;       /* the table is still to be made: the number of values is not known */
	bool within;        /* a transaction */
	double since;
	size_t columns;     /* of values */
	sqlite3_stmt *insert, *update, *take, *mark;
	struct buf text;
	struct buf values;
	char **v;
};

static int failed(struct database *d, const char *what)
{
	warn("'%s': %s: %s", d->path, what, sqlite3_errmsg(d->db));
	return -1;
}

static int run_sql(struct database *d, const char *sql)
{
	return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(d, "database");
}

/* ---- opening ---- */

static char *quoted(const char *name)
{
	struct buf b = { 0 };
	buf_chr(&b, '"');
	for (; *name; name++)
		buf_str(&b, *name == '"' ? "\"\"" : (char[]){ *name, '\0' });
	buf_chr(&b, '"');
	return b.s;
}

static struct database *open_file(const char *path, const char *table, const struct names *names)
{
	struct database *d = xrealloc(NULL, sizeof *d);
	*d = (struct database){ .path = xstrdup(path), .name = xstrdup(table), .table = quoted(table),
	                      .names = names };
	if (sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
	    SQLITE_OK) {
		failed(d, "cannot open the database");
		(void)database_close(d);
		return NULL;
	}
	sqlite3_busy_timeout(d->db, BUSY_MS);
	return d;
}

static int drop_table(struct database *d)
{
	struct buf sql = { 0 };
	buf_fmt(&sql, "DROP TABLE IF EXISTS %s", d->table);
	int e = run_sql(d, sql.s);
	buf_free(&sql);
	d->pending = true;
	return e;
}

static int count_columns(struct database *d)
{
	sqlite3_stmt *s;
	struct buf sql = { 0 };
	buf_fmt(&sql, "SELECT * FROM %s LIMIT 0", d->table);
	int e = sqlite3_prepare_v2(d->db, sql.s, -1, &s, NULL);
	int n = e == SQLITE_OK ? sqlite3_column_count(s) : 0;
	buf_free(&sql);
	sqlite3_finalize(s);
	if (n < FIXED + 2)
		return -1;
	d->columns = (size_t)n - FIXED - 2;
	return 0;
}

struct database *database_results(const struct config *cfg, const struct names *names)
{
	struct database *d = open_file(cfg->results, "jobs", names);
	if (!d)
		return NULL;
	if (cfg->resume != RESUME_NO && count_columns(d) == 0)
		return d;
	if (drop_table(d) == 0)
		return d;
	(void)database_close(d);
	return NULL;
}

/* ---- DBURLs: [sql:]sqlite3:///FILE/TABLE, '/' in FILE as %2F ---- */

static char *decoded(const char *s, size_t n)
{
	struct buf b = { 0 };
	buf_clear(&b);
	for (size_t i = 0; i < n; i++) {
		char hex[3] = { 0 };
		if (s[i] == '%' && i + 2 < n && isxdigit((unsigned char)s[i + 1]) &&
		    isxdigit((unsigned char)s[i + 2])) {
			memcpy(hex, s + i + 1, 2);
			buf_chr(&b, (int)strtol(hex, NULL, 16));
			i += 2;
		} else {
			buf_chr(&b, s[i]);
		}
	}
	return b.s;
}

struct database *database_url(const char *url, bool fresh, const struct names *names)
{
	bool plus = *url == '+';
	const char *s = url + plus, *slash;
	s += !strncmp(s, "sql:", 4) ? 4 : 0;
	size_t vendor = strcspn(s, ":");
	if (strncmp(s, "sqlite", 6) != 0 || (vendor != 6 && !(vendor == 7 && s[6] == '3')) ||
	    strncmp(s + vendor, ":///", 4) != 0 || !(slash = strrchr(s + vendor + 4, '/')) ||
	    !slash[1] || slash == s + vendor + 4) {
		warn("'%s': write sqlite3:///FILE/TABLE, with each / of FILE as %%2F; other "
		     "databases are not served", url);
		return NULL;
	}
	char *path = decoded(s + vendor + 4, (size_t)(slash - s) - vendor - 4);
	char *table = decoded(slash + 1, strlen(slash + 1));
	struct database *d = open_file(path, table, names);
	free(path);
	if (d) {
		int e = fresh && !plus ? drop_table(d) : count_columns(d);
		d->url = true;
		if (e != 0 && !(fresh && !plus))
			warn("'%s': there is no table of jobs '%s'", d->path, table);
		if (e != 0) {
			(void)database_close(d);
			d = NULL;
		}
	}
	free(table);
	return d;
}

/* ---- the table and its statements ---- */

static void add_values(struct database *d, struct buf *sql, const char *each)
{
	struct buf name = { 0 };
	for (size_t i = 0; i < d->columns; i++) {
		record_column(&name, d->names, i);
		char *q = quoted(name.s);
		buf_fmt(sql, "%s%s, ", q, each);
		free(q);
	}
	buf_free(&name);
}

static int make_table(struct database *d, size_t columns)
{
	struct buf sql = { 0 };
	d->columns = columns;
	d->pending = false;
	buf_fmt(&sql, "CREATE TABLE %s (Seq BIGINT, Host TEXT, Starttime FLOAT(44), "
	              "JobRuntime FLOAT(44), Send BIGINT, Receive BIGINT, Exitval BIGINT, "
	              "%s BIGINT, Command TEXT, ", d->table, d->url ? "_Signal" : "Signal");
	add_values(d, &sql, " TEXT");
	buf_str(&sql, "Stdout TEXT, Stderr TEXT)");
	int e = run_sql(d, sql.s);
	buf_free(&sql);
	return e;
}

static int prepare(struct database *d, sqlite3_stmt **s, struct buf *sql)
{
	int e = sqlite3_prepare_v2(d->db, sql->s, -1, s, NULL);
	buf_free(sql);
	return e == SQLITE_OK ? 0 : failed(d, "database");
}

static int ready(struct database *d, const struct task *t)
{
	struct buf sql = { 0 };
	size_t named = d->names ? d->names->n : 0;
	if (d->pending && make_table(d, named > t->n ? named : t->n) != 0)
		return -1;
	if (d->insert)
		return 0;
	buf_fmt(&sql, "INSERT INTO %s VALUES (?", d->table);
	for (size_t i = 1; i < FIXED + d->columns + 2; i++)
		buf_str(&sql, ", ?");
	buf_str(&sql, ")");
	return prepare(d, &d->insert, &sql);
}

static int begin(struct database *d)
{
	if (d->within)
		return 0;
	d->within = true;
	d->since = timing_now();
	return run_sql(d, "BEGIN IMMEDIATE");
}

int database_flush(struct database *d, bool now)
{
	if (!d->within || (!now && timing_now() - d->since < 1))
		return 0;
	d->within = false;
	return run_sql(d, "COMMIT");
}

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
		failed(d, e < -1 ? prong_strerror(e) : "cannot write a row");
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return e ? -1 : 0;
}

int database_add(struct database *d, const struct record *r)
{
	int64_t later[2] = { 0, 0 };
	if (ready(d, r->task) != 0 || begin(d) != 0)
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
		e = failed(d, "cannot write a long output");
	return e ? e : database_flush(d, false);
}

int database_put(struct database *d, const struct task *t, const char *command)
{
	if (ready(d, t) != 0 || begin(d) != 0)
		return -1;
	sqlite3_bind_int64(d->insert, 1, (sqlite3_int64)t->seq);
	sqlite3_bind_int(d->insert, 5, 0);
	sqlite3_bind_int(d->insert, 7, DATABASE_READY);
	sqlite3_bind_text(d->insert, FIXED, command, -1, SQLITE_TRANSIENT);
	bind_values(d, t);
	int e = finish(d, d->insert, 0);
	return e ? e : database_flush(d, false);
}

/* ---- workers ---- */

static int prepare_worker(struct database *d)
{
	struct buf sql = { 0 };
	if (d->take)
		return 0;
	buf_fmt(&sql, "SELECT * FROM %s WHERE Exitval = %d ORDER BY Seq LIMIT 1", d->table,
	        DATABASE_READY);
	int e = prepare(d, &d->take, &sql);
	buf_fmt(&sql, "UPDATE %s SET Exitval = %d WHERE Seq = ? AND Exitval = %d", d->table,
	        DATABASE_TAKEN, DATABASE_READY);
	e = e ? e : prepare(d, &d->mark, &sql);
	buf_fmt(&sql, "UPDATE %s SET Host = ?, Starttime = ?, JobRuntime = ?, Send = ?, "
	              "Receive = ?, Exitval = ?, _Signal = ?, Command = ?, Stdout = ?, Stderr = ? "
	              "WHERE Seq = ?", d->table);
	return e ? e : prepare(d, &d->update, &sql);
}

static void copy_row(struct database *d, struct args *a, uint64_t *seq)
{
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

int database_take(struct database *d, struct args *a, uint64_t *seq)
{
	if (prepare_worker(d) != 0 || database_flush(d, true) != 0 || begin(d) != 0)
		return -1;
	int found = sqlite3_step(d->take), e = 0;
	if (found == SQLITE_ROW) {
		copy_row(d, a, seq);
		sqlite3_bind_int64(d->mark, 1, (sqlite3_int64)*seq);
		e = finish(d, d->mark, 0);
	} else if (found != SQLITE_DONE) {
		e = failed(d, "cannot take a job");
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
	if (begin(d) != 0)
		return -1;
	bind_facts(d->update, r, host, 1);
	int e = bind_stream(d, d->update, 9, &r->stream[0], &later[0]);
	if (e == 0)
		e = bind_stream(d, d->update, 10, &r->stream[1], &later[1]);
	sqlite3_bind_int64(d->update, 11, (sqlite3_int64)r->task->seq);
	e = finish(d, d->update, e);
	if (e == 0 && (later[0] || later[1])) {
		sqlite3_stmt *s;
		struct buf sql = { 0 };
		buf_fmt(&sql, "SELECT rowid FROM %s WHERE Seq = %llu", d->table,
		        (unsigned long long)r->task->seq);
		e = prepare(d, &s, &sql);
		sqlite3_int64 row = e == 0 && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
		sqlite3_finalize(s);
		if (e == 0 && write_later(d, r, row, later) != 0)
			e = failed(d, "cannot write a long output");
	}
	return e ? e : database_flush(d, true);
}

int64_t database_open_rows(struct database *d)
{
	sqlite3_stmt *s;
	struct buf sql = { 0 };
	buf_fmt(&sql, "SELECT count(*) FROM %s WHERE Exitval IN (%d, %d)", d->table, DATABASE_READY,
	        DATABASE_TAKEN);
	if (prepare(d, &s, &sql) != 0)
		return -1;
	int64_t n = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : failed(d, "database");
	sqlite3_finalize(s);
	return n;
}

int database_close(struct database *d)
{
	if (!d)
		return 0;
	int e = database_flush(d, true);
	sqlite3_finalize(d->insert);
	sqlite3_finalize(d->update);
	sqlite3_finalize(d->take);
	sqlite3_finalize(d->mark);
	sqlite3_close(d->db);
	free(d->path);
	free(d->name);
	free(d->table);
	free(d->v);
	buf_free(&d->text);
	buf_free(&d->values);
	free(d);
	return e;
}

#else

static struct database *without(const char *name)
{
	warn("'%s': this prong was built without SQLite (-Dsqlite=enabled)", name);
	return NULL;
}

struct database *database_results(const struct config *cfg, const struct names *names)
{
	(void)names;
	return without(cfg->results);
}

struct database *database_url(const char *url, bool fresh, const struct names *names)
{
	(void)fresh, (void)names;
	return without(url);
}

int database_add(struct database *d, const struct record *r)
{
	(void)d, (void)r;
	return -1;
}

int database_put(struct database *d, const struct task *t, const char *command)
{
	(void)d, (void)t, (void)command;
	return -1;
}

int database_take(struct database *d, struct args *a, uint64_t *seq)
{
	(void)d, (void)a, (void)seq;
	return -1;
}

int database_done(struct database *d, const struct record *r)
{
	(void)d, (void)r;
	return -1;
}

int64_t database_open_rows(struct database *d)
{
	(void)d;
	return -1;
}

int database_flush(struct database *d, bool now)
{
	(void)d, (void)now;
	return 0;
}

int database_close(struct database *d)
{
	(void)d;
	return 0;
}

#endif
