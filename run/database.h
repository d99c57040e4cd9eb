/* database.h - a table of jobs in an SQLite file: --results FILE.sqlite, --sqlmaster and kin. */
#ifndef RUN_DATABASE_H
#define RUN_DATABASE_H

#include "record.h"
#include "sink.h"

struct database;

/* What Exitval says of a row that has not ended, and of one that was declined. */
enum { DATABASE_READY = -1000, DATABASE_TAKEN = -1220, DATABASE_DECLINED = -2 };

/* --results FILE.sqlite.  NULL after warn(), also where prong was built without SQLite.
 * p: what to look at while others hold the database (copied). */
struct database *database_results(const struct config *cfg, const struct names *names,
                                  const struct sink_patience *p);
/* A DBURL.  fresh: for a master: the table is made new unless the URL begins with '+'. */
struct database *database_url(const char *url, bool fresh, const struct names *names,
                              const struct sink_patience *p);
/* All: 0, or -1 after warn(). */
int database_add(struct database *d, const struct record *r);    /* a job that has ended */
int database_put(struct database *d, const struct task *t, const char *command); /* one to run */
/* The highest Seq there is, 0: no rows; -1 after warn(). */
int64_t database_last(struct database *d);
/* Take one that is ready.  1: *a (until the next call), *seq and *row; 0: there is none. */
int database_take(struct database *d, struct args *a, uint64_t *seq, int64_t *row);
int database_done(struct database *d, const struct record *r);   /* the row of a taken one */
/* A taken one that was not run: somebody else may (READY), or nobody (DECLINED). */
int database_release(struct database *d, const struct task *t, int exitval);
/* Rows that have not ended; -1 after warn(). */
int64_t database_open_rows(struct database *d);
/* Make what was written visible to others; now and then, or at once. */
int database_flush(struct database *d, bool now);
/* No more rows will be added: now at once, and a table that has none is made. */
int database_complete(struct database *d);
int database_close(struct database *d);

#endif
