/* database.c - jobs as rows of an SQLite table.
 *
 * Owns the connection.  Rows of a run are written in transactions of up to a second, since
 * each costs a flush of the disk; a job is taken in one of its own, so that no two workers
 * take the same. */
#include "database-impl.h"

#include "copy.h"
#include "timing.h"

#include <ctype.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 50 };
static const double busy_seconds = 60, hurried_seconds = 1;

int database_failed(struct database *d, const char *what)
{
	warn("'%s': %s: %s", d->path, what, sqlite3_errmsg(d->db));
	return -1;
}

static int run_sql(struct database *d, const char *sql)
{
	int e = sqlite3_exec(d->db, sql, NULL, NULL, NULL);
	return e == SQLITE_OK ? 0 : database_failed(d, "database");
}

/* Another has it: wait, but heed signals. */
static int busy(void *arg, int n)
{
	struct database *d = arg;
	struct pollfd signals = { .fd = d->patience.fd, .events = POLLIN };
	double now = timing_now();
	if (n == 0 && !d->hurried)
		d->until = now + busy_seconds;
	(void)poll(&signals, 1, n < 10 ? n : LOOK_MS);
	if (!d->hurried && !d->patience.go_on(d->patience.arg)) {
		d->hurried = true;
		d->until = now + hurried_seconds;
	}
	return now < d->until;
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

static struct database *open_file(const char *path, const char *table, bool create,
                                  const struct names *names, const struct sink_patience *p)
{
	struct database *d = xrealloc(NULL, sizeof *d);
	*d = (struct database){ .path = xstrdup(path), .name = xstrdup(table), .table = quoted(table),
	                      .names = names, .patience = *p };
	int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
	if (sqlite3_open_v2(path, &d->db, flags, NULL) != SQLITE_OK) {
		database_failed(d, "cannot open the database");
		(void)database_close(d);
		return NULL;
	}
	sqlite3_busy_handler(d->db, busy, d);
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

struct database *database_results(const struct config *cfg, const struct names *names,
                                  const struct sink_patience *p)
{
	struct database *d = open_file(cfg->results, "jobs", true, names, p);
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

struct database *database_url(const char *url, bool fresh, const struct names *names,
                              const struct sink_patience *p)
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
	struct database *d = open_file(path, table, fresh && !plus, names, p);
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

int database_prepare(struct database *d, sqlite3_stmt **s, struct buf *sql)
{
	int e = sqlite3_prepare_v2(d->db, sql->s, -1, s, NULL);
	buf_free(sql);
	return e == SQLITE_OK ? 0 : database_failed(d, "database");
}

static int have_table(struct database *d, size_t values)
{
	size_t named = d->names ? d->names->n : 0;
	return d->pending ? make_table(d, named > values ? named : values) : 0;
}

int database_ready(struct database *d, const struct task *t)
{
	struct buf sql = { 0 };
	if (have_table(d, t->n) != 0)
		return -1;
	if (d->insert)
		return 0;
	buf_fmt(&sql, "INSERT INTO %s VALUES (?", d->table);
	for (size_t i = 1; i < FIXED + d->columns + 2; i++)
		buf_str(&sql, ", ?");
	buf_str(&sql, ")");
	return database_prepare(d, &d->insert, &sql);
}

int database_begin(struct database *d)
{
	if (d->within)
		return 0;
	int e = run_sql(d, "BEGIN IMMEDIATE");
	d->within = e == 0;
	d->since = timing_now();
	return e;
}

int database_flush(struct database *d, bool now)
{
	if (!d->within || (!now && timing_now() - d->since < 1))
		return 0;
	d->within = false;
	return run_sql(d, "COMMIT");
}

int database_complete(struct database *d)
{
	return have_table(d, 1) != 0 ? -1 : database_flush(d, true);
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
	sqlite3_finalize(d->release);
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
