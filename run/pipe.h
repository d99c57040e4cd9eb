/* pipe.h - --pipe and --pipe-part: input cut into blocks of whole records for the jobs. */
#ifndef RUN_PIPE_H
#define RUN_PIPE_H

#include "load.h"
#include "run-impl.h"

/* Does the input go to the jobs' standard input? */
bool pipe_wanted(const struct config *cfg);
/* The options fit together; else -1 after warn(). */
int pipe_check(const struct config *cfg);
/* The values of ::: (the other sources are data). */
int pipe_inputs(struct inputs **in, const struct config *cfg);
/* Is standard input one of the sources? */
bool pipe_uses_stdin(const struct config *cfg);
/* How many at once: --tee needs them all. 0 after warn(). */
int pipe_jobs(const struct config *cfg, const struct inputs *in, int jobs);
/* Open the data.  NULL after warn(). */
struct pipe *pipe_new(struct run *r);
void pipe_free(struct pipe *p);

/* The next job: 1 and *t (NULL: a block was skipped), 0: over, -EAGAIN: not yet, other
 * -errno: pipe_name() cannot be read; -ECANCELED: a message was printed. */
int pipe_next(struct run *r, struct task **t);
int pipe_fd(const struct pipe *p);          /* what to wait for after -EAGAIN */
const char *pipe_name(const struct pipe *p);
/* Go on with what needs no new job; at every turn of the loop. */
void pipe_turn(struct run *r);
/* Seconds until pipe_next() wants to be called again (--block-timeout); -1: never. */
double pipe_wait(const struct pipe *p, double now);
bool pipe_knows_total(const struct pipe *p); /* reading ahead costs no data */

/* ---- one job ---- */
/* Before it is submitted: its standard input. 0 or -errno. */
int pipe_start(struct run *r, struct task *t);
void pipe_started(struct task *t);
bool pipe_again(struct task *t);                /* may it be tried once more? */
void pipe_check_end(struct run *r, struct task *t); /* it ended: say what went wrong */
void pipe_ready(struct run *r, void *tag);      /* a pipe takes more */
int64_t pipe_sent(const struct task *t);

/* ---- pipe-file.c: --cat and --fifo ---- */
/* Make the file: its name becomes the value of t. 0, -1 after warn(). */
int pipe_file_new(struct run *r, struct task *t);
int pipe_file_fill(struct run *r, struct task *t);  /* 0, -errno */
bool pipe_fifo_opened(struct run *r, const void *tag); /* tag is the watch for that */

#endif
