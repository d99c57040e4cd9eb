/* database-impl.h - the inside of a database, for database.c and database-rows.c only. */
#ifndef RUN_DATABASE_IMPL_H
#define RUN_DATABASE_IMPL_H

#include "database.h"

#include <sqlite3.h>

enum { FIXED = 9 }; /* columns before the values */

struct database {
	sqlite3 *db;
	char *path, *name, *table; /* table: its name, quoted */
	const struct names *names;
	bool url;           /* the layout of GNU parallel */
	bool pending;       /* the table is still to be made: the number of values is not known */
	bool within;        /* a transaction */
	double since;
	struct sink_patience patience;
	double until;       /* others may hold it so long */
	bool hurried;       /* the run ends: that is not long any more */
	size_t columns;     /* of values */
	sqlite3_stmt *insert, *update, *take, *mark, *release;
	struct buf text;
	struct buf values;
	char **v;
};

/* Say it; -1. */
int database_failed(struct database *d, const char *what);
/* sql is freed. */
int database_prepare(struct database *d, sqlite3_stmt **s, struct buf *sql);
int database_ready(struct database *d, const struct task *t); /* to insert rows like this */
int database_begin(struct database *d);                       /* a transaction, if there is none */

#endif
