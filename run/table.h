/* table.h - --results FILE.csv, .tsv, .json: one record for each job. */
#ifndef RUN_TABLE_H
#define RUN_TABLE_H

#include "record.h"

struct table;

/* Open the file ("-.csv": standard output).  NULL after warn(). */
struct table *table_new(const struct config *cfg, const struct names *names);
int table_fd(const struct table *t);
const char *table_name(const struct table *t);
/* A job with so many values starts: the first decides how many columns there are. */
void table_first(struct table *t, size_t values);
/* A job as it stands in the file: *mem of *len bytes, or the first *len bytes of *fd, until
 * the next call.  0 or -errno. */
int table_record(struct table *t, const struct record *r, const void **mem, int *fd, int64_t *len);
void table_free(struct table *t);

#endif
