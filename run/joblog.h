/* joblog.h - GNU parallel's job log: a header and one tab-separated line per finished try. */
#ifndef RUN_JOBLOG_H
#define RUN_JOBLOG_H

#include <prong.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct joblog;

/* The fields of a line that are read again. */
struct joblog_row {
	uint64_t seq;
	bool failed;
	size_t command; /* where it begins in the line */
};
/* A line without its newline; false: it is none of a job log. */
bool joblog_line(const char *line, size_t len, struct joblog_row *row);
/* Can this, which is no whole line, be the beginning of one? */
bool joblog_begins(const char *line, size_t len);

/* path as given to --joblog ("-": stdout; "+FILE": append, no header on an existing or new file, as GNU).
 * go_on (--resume and kin): append, with a header if the file is new.  What a killed run left
 * of a line at its end is removed.
 * NULL after warn(). */
struct joblog *joblog_open(const char *path, bool go_on);
/* One line, one write. command: newlines become NUL bytes as GNU does... send, receive in
 * bytes. 0 or -errno. Fields: Seq Host Starttime JobRuntime Send Receive Exitval Signal Command */
int joblog_add(struct joblog *j, uint64_t seq, const char *command,
               const struct prong_result *r, int64_t send, int64_t receive);
void joblog_close(struct joblog *j);

#endif
