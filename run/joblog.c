/* joblog.c - writes GNU parallel's job log, one write per line, and reads a line again. */
#include "joblog.h"
#include "buf.h"
#include "copy.h"
#include "record.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char header[] =
	"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

struct joblog {
	int fd;
	struct buf line;
};

/* ---- reading a line ---- */

/* Up to the TAB that ends field n (from 1); NULL: there is none. */
static const char *field_end(const char *s, const char *end, int n)
{
	for (; s && n > 0; n--) {
		s = memchr(s, '\t', (size_t)(end - s));
		s = s ? s + 1 : NULL;
	}
	return s;
}

static bool whole_number(const char *s, char end, long long *n)
{
	char *stop;
	if (!isdigit((unsigned char)*s) && *s != '-')
		return false;
	errno = 0;
	*n = strtoll(s, &stop, 10);
	return errno == 0 && *stop == end;
}

bool joblog_line(const char *line, size_t len, struct joblog_row *row)
{
	const char *end = line + len;
	const char *exitval = field_end(line, end, 6), *command = field_end(line, end, 8);
	long long seq, val, sig;
	if (!command || !whole_number(line, '\t', &seq) || seq < 1 ||
	    !whole_number(exitval, '\t', &val) ||
	    !whole_number(field_end(exitval, end, 1), '\t', &sig))
		return false;
	*row = (struct joblog_row){ .seq = (uint64_t)seq, .failed = val != 0 || sig != 0,
		                    .command = (size_t)(command - line) };
	return true;
}

bool joblog_begins(const char *line, size_t len)
{
	return isdigit((unsigned char)*line) ||
	       (len < sizeof header && !memcmp(line, header, len));
}

/* ---- opening ---- */

static int open_path(const char *path, bool append)
{
	if (!strcmp(path, "-"))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(path, (append ? O_RDWR : O_WRONLY | O_TRUNC) | O_CREAT | O_APPEND | O_CLOEXEC |
	                          O_NOCTTY, 0666);
}

/* Where the last newline of a file ends; 0: there is none.  Or -errno. */
static int64_t last_line_at(int fd, int64_t size)
{
	char block[4096];
	while (size > 0) {
		size_t n = size < (int64_t)sizeof block ? (size_t)size : sizeof block;
		int e = pread_full(fd, block, n, size -= (int64_t)n);
		const char *nl = e == 0 ? memrchr(block, '\n', n) : NULL;
		if (e != 0 || nl)
			return e ? e : size + (nl - block) + 1;
	}
	return 0;
}

static int read_rest(int fd, int64_t size, struct buf *rest)
{
	int64_t from = last_line_at(fd, size);
	if (from < 0 || from == size)
		return (int)(from < 0 ? from : 0);
	buf_reserve(rest, (size_t)(size - from));
	rest->len = (size_t)(size - from);
	return pread_full(fd, rest->s, rest->len, from);
}

/* Begin on a line of its own.  Of a torn line no number and status can be read: it goes, so
 * that the file stays a job log. */
static int mend_end(int fd)
{
	struct stat st;
	struct buf rest = { 0 };
	struct joblog_row row;
	struct target t = { .fd = fd };
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	int e = read_rest(fd, st.st_size, &rest);
	if (e == 0 && rest.len > 0) {
		if (joblog_begins(rest.s, rest.len) && !joblog_line(rest.s, rest.len, &row))
			e = ftruncate(fd, st.st_size - (off_t)rest.len) == 0 ? 0 : -errno;
		else
			e = write_full(&t, "\n", 1);
	}
	buf_free(&rest);
	return e;
}

static bool is_new(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_size == 0;
}

struct joblog *joblog_open(const char *path, bool go_on)
{
	bool plus = *path == '+', append = plus || go_on;
	struct target t = { .fd = open_path(path + plus, append) };
	int e = t.fd < 0 ? -errno : 0;
	if (e == 0 && append)
		e = mend_end(t.fd);
	if (e == 0 && (!append || (!plus && is_new(t.fd))))
		e = write_full(&t, header, sizeof header - 1);
	if (e != 0) {
		if (t.fd >= 0)
			close(t.fd);
		errno = -e;
		warn("cannot write the job log '%s':", path + plus);
		return NULL;
	}
	struct joblog *j = xrealloc(NULL, sizeof *j);
	*j = (struct joblog){ .fd = t.fd };
	return j;
}

/* ---- writing ---- */

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
	record_ending(r, &val, &sig);
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
