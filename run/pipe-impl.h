/* pipe-impl.h - the state of --pipe; shared by the pipe-*.c files only. */
#ifndef RUN_PIPE_IMPL_H
#define RUN_PIPE_IMPL_H

#include "cut.h"
#include "pipe.h"

enum {
	PIPE_WINDOW = 1 << 20, /* how much of the input is looked at, at once */
	PIPE_EDGE = 128 << 10  /* the same of blocks that are longer: before their border only */
};

/* A file of data. */
struct data {
	const char *name;
	int fd;
	bool fifo;          /* its bytes can be moved without copying */
	bool regular;       /* seekable, with a known end */
	bool eof, sized;
	int64_t at, end;    /* regular: what is left of it */
};

struct pipe {
	const struct config *cfg;
	const char *dir;    /* for files */
	struct data *v;
	size_t n, cur;
	bool header_done;
	struct buf header;
	struct regex *header_re;
	struct cutter *cutter;
	struct buf win;     /* read and not given, from `at` */
	size_t at;
	int64_t block;
	bool grown;         /* said that it is larger than --block */
	double since;       /* --block-timeout: when this block began */
	/* a block that is longer than the window */
	struct spares spares;
	struct load *live;
	struct task *waiting; /* its job, if not handed out yet */
	int64_t front;      /* so many bytes until its end may be near */
	bool slide;         /* its end was not where it should be */
	/* jobs that run all the time: --round-robin, --bin, --shard, --tee */
	size_t nloads, turn, rows; /* rows: of --tee */
	struct load **loads; /* held */
	struct key *key;
	bool streaming, complete, stopped; /* complete: all these jobs are made */
	struct load *line;  /* gets the rest of a line longer than the window */
	int inotify;        /* --fifo; -1: none yet */
	struct buf strip;
};

/* pipe-data.c */
struct data *pipe_data(struct pipe *p); /* the current one, NULL: all read */
/* Read up to `most` bytes in all into the window; 1: something changed, -EAGAIN, -errno. */
int pipe_read(struct pipe *p, size_t most);
int pipe_next_data(struct pipe *p); /* go to the next file */
size_t pipe_have(const struct pipe *p);
char *pipe_window(const struct pipe *p);
void pipe_took(struct pipe *p, size_t n); /* the first n bytes are gone */
/* Read the header of the current file. 1: done, -EAGAIN, -errno. */
int pipe_read_header(struct pipe *p);
int pipe_open_data(struct pipe *p);
void pipe_close_data(struct pipe *p);

/* pipe-part.c */
bool pipe_by_range(const struct pipe *p);
/* The next range of the current file; *to == *from: it is over. 0 or -errno. */
int pipe_range(struct run *r, int64_t *from, int64_t *to);
int64_t pipe_part_block(const struct pipe *p, unsigned jobs);

/* pipe-stream.c */
int pipe_stream_next(struct run *r, struct task **t);
int pipe_stream_turn(struct run *r);

/* pipe-live.c */
void pipe_live_begin(struct run *r, struct task **t);
void pipe_live(struct pipe *p, struct load *l); /* l gets what follows, up to the block's end */
int pipe_live_on(struct run *r, struct task **t);

/* pipe.c */
enum { PIPE_LONG = 2 };
int pipe_find(struct run *r, size_t *end);
int pipe_begin_data(struct run *r);
void pipe_give(struct pipe *p, struct buf *to, size_t n);
void pipe_grow(struct run *r);
/* The values of the next job: a row of :::, or one that is empty (false). */
bool pipe_values(struct run *r, struct args *a);
struct task *pipe_task(struct run *r, struct load *l);
void pipe_head(struct pipe *p, struct load *l); /* the header comes first */

#endif
