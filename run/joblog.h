/* joblog.h - GNU parallel's job log: a header and one tab-separated line per finished try. */
#ifndef RUN_JOBLOG_H
#define RUN_JOBLOG_H

#include <prong.h>
#include <stdbool.h>
#include <stdint.h>

struct joblog;

/* path as given to --joblog ("-": stdout; "+FILE": append, no header on an existing or new file, as GNU).
 * NULL after warn(). */
struct joblog *joblog_open(const char *path);
/* One line, one write. command: newlines become NUL bytes as GNU does... send, receive in
 * bytes. 0 or -errno. Fields: Seq Host Starttime JobRuntime Send Receive Exitval Signal Command */
int joblog_add(struct joblog *j, uint64_t seq, const char *command,
               const struct prong_result *r, int64_t send, int64_t receive);
void joblog_close(struct joblog *j);

#endif
