/* joblog.c - writes GNU parallel's job log, one write per line; never reads one. */
#include "joblog.h"
#include "buf.h"
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char header[] =
	"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

struct joblog {
	int fd;
	struct buf line;
};

static int open_path(const char *path, bool append)
{
	if (!strcmp(path, "-"))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY |
	                          (append ? 0 : O_TRUNC), 0666);
}

struct joblog *joblog_open(const char *path)
{
	bool append = *path == '+';
	struct target t = { .fd = open_path(path + append, append) };
	int e = t.fd < 0 ? -errno : 0;
	if (e == 0 && !append)
		e = write_full(&t, header, sizeof header - 1);
	if (e != 0) {
		if (t.fd >= 0)
			close(t.fd);
		errno = -e;
		warn("cannot write the job log '%s':", path + append);
		return NULL;
	}
	struct joblog *j = xrealloc(NULL, sizeof *j);
	*j = (struct joblog){ .fd = t.fd };
	return j;
}

/* Exitval and Signal.  What never ran gets what a shell would have said. */
static void ending(const struct prong_result *r, int *val, int *sig)
{
	*val = *sig = 0;
	switch (r->how) {
	case PRONG_EXITED:
		*val = r->status;
		break;
	case PRONG_SIGNALED:
	case PRONG_CANCELLED:
		*sig = r->status;
		break;
	case PRONG_TIMEDOUT:
		*val = -1;
		*sig = r->status;
		break;
	case PRONG_NOTSTARTED:
		*val = r->status == ENOENT ? 127 : 126;
		break;
	default:
		*val = -1;
	}
}

static void add_command(struct buf *b, const char *command)
{
	size_t at = b->len;
	buf_str(b, command);
	for (char *p = b->s + at; (p = strchr(p, '\n')); p++)
		*p = '\0';
}

int joblog_add(struct joblog *j, uint64_t seq, const char *command,
               const struct prong_result *r, int64_t send, int64_t receive)
{
	int64_t start = (r->start_ns + 500000) / 1000000;
	int64_t run = (r->end_ns - r->start_ns + 500000) / 1000000;
	struct target t = { .fd = j->fd };
	int val, sig;
	ending(r, &val, &sig);
	buf_clear(&j->line);
	buf_fmt(&j->line, "%" PRIu64 "\t:\t%6" PRId64 ".%03" PRId64, seq, start / 1000,
	        start % 1000);
	buf_fmt(&j->line, "\t%6" PRId64 ".%03" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%d\t%d\t",
	        run / 1000, run % 1000, send, receive, val, sig);
	add_command(&j->line, command);
	buf_chr(&j->line, '\n');
	return write_full(&t, j->line.s, j->line.len);
}

void joblog_close(struct joblog *j)
{
	if (!j)
		return;
	close(j->fd);
	buf_free(&j->line);
	free(j);
}
