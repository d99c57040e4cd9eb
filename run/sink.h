/* sink.h - where job output goes, in which order and with which tags. */
#ifndef RUN_SINK_H
#define RUN_SINK_H

#include "buf.h"
#include "config.h"
#include <sys/types.h>

struct sink; /* both streams; one per run */

/* One finished job's output, lent by the caller for the call. */
struct output {
	uint64_t seq;        /* from 1, without gaps, in input order */
	const char *tag;     /* "" or the expanded tag WITHOUT the tab; NULL: no tagging */
	const char *head;    /* text printed on stdout before the job's output (-v), or NULL */
	int fd[2];           /* captured stdout, stderr; read with pread(); -1: none */
	int64_t len[2];      /* bytes to take from each */
	const void *mem[2];  /* or the bytes themselves, where there is no fd; NULL: none */
	bool failed;         /* for --color-failed */
	bool packed[2];      /* fd has it compressed: see sink_unpack() */
};

/* cfg chooses group/line/ungroup, keep_order, tmpdir for the spool.  NULL + warn() on
 * failure. out_fd/err_fd are where output goes (1 and 2). */
struct sink *sink_new(const struct config *cfg, int out_fd, int err_fd);
/* A job of the group modes ended. With keep_order it is printed when its turn comes: until
 * then its bytes are moved to ONE unlinked spool file in tmpdir (a bounded number of fds
 * and a few bytes of memory per held job). 0, or -errno with sink_error() telling the text:
 * -EPIPE: nobody reads stdout; -ENOSPC ...: the spool or the target is full. */
int sink_done(struct sink *s, const struct output *o);
/* Line mode: bytes of a running job as they come (stream 1 or 2); whole lines are printed
 * at once (with keep_order only those of the job whose turn it is, the rest is spooled),
 * an unfinished line is kept until its newline or sink_done(). tag as above. */
int sink_data(struct sink *s, uint64_t seq, const char *tag, int stream,
              const void *data, size_t len);
/* This seq will never print anything (skipped, never started). */
int sink_skip(struct sink *s, uint64_t seq);
/* While a slow reader of stdout or stderr keeps us waiting, fd is watched too: when it is
 * readable, go_on() is called (it may handle a signal); if it returns false, the output is
 * given up and -EINTR returned, now and ever after.  Without this, writes just block. */
struct sink_patience {
	int fd;
	bool (*go_on)(void *arg);
	void *arg;
};
void sink_be_patient(struct sink *s, const struct sink_patience *p); /* copied */
/* Write out what is buffered for efficiency. Called before the run blocks. */
int sink_flush(struct sink *s);
/* Who can read compressed output: expand() gives what is in fd, from its start, piece by piece;
 * it has said what went wrong if its error is not give()'s. */
struct sink_expander {
	int (*expand)(void *arg, int fd, int (*give)(void *to, const char *p, size_t n), void *to);
	void *arg;
};
void sink_unpack(struct sink *s, const struct sink_expander *x);
/* How messages call the target of stdout; borrowed. */
void sink_name(struct sink *s, const char *name);
const char *sink_error(const struct sink *s);
void sink_free(struct sink *s);

/* Copy len bytes at off from one fd to another by the cheapest call that works
 * (copy_file_range/sendfile, else read+write); 0 or -errno. */
int copy_range(int from, int64_t off, int64_t len, int to);

#endif
