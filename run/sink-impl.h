/* sink-impl.h - the inside of a sink, for sink.c and sink-line.c only. */
#ifndef RUN_SINK_IMPL_H
#define RUN_SINK_IMPL_H

#include "color.h"
#include "order.h"
#include "outbuf.h"
#include "sink.h"
#include "spool.h"

/* Kinds of pieces in the spool; stdout and stderr are the stream numbers. */
enum { PIECE_OUT = 0, PIECE_ERR = 1, PIECE_TAG = 2, PIECE_COLOR = 3,
       PIECE_PACKED = 4 /* added to the stream number */ };

/* A running job of line mode. */
struct live {
	struct live *next;    /* in its bucket */
	uint64_t seq;
	struct chain held;    /* whole lines that wait for the job's turn */
	struct {
		struct buf mem;       /* the end of an unfinished line ... */
		struct chain spilled; /* ... and what was before, of a long one */
	} part[2];
};

enum { BUCKETS = 256 };

struct sink {
	struct outbuf out;
	struct spool *spool;
	struct order order;
	struct buf tag;             /* of the chain being printed */
	struct color color;         /* the same */
	bool colored, color_failed;
	const char *name;           /* of the target of stdout, for messages; NULL: it is stdout */
	struct sink_patience patience;
	struct sink_expander expander;
	int scratch;                /* a compressed piece of the spool; -1: not needed yet */
	bool keep, ungroup;
	int failed;                 /* the first error; nothing works after it */
	char error[512];
	struct live *live[BUCKETS]; /* by seq */
};

/* The colour of a job, "" for none. */
struct color sink_color(const struct sink *s, uint64_t seq, bool failed);
/* Note an error of writing (or of holding back, if `held`) and return it. */
int sink_fail(struct sink *s, int e, bool held);
bool sink_holds(const struct sink *s, uint64_t seq); /* it is not the turn of seq */
/* Print a chain and give its room back. */
int sink_print(struct sink *s, int64_t at);
int sink_hold_tag(struct sink *s, struct chain *c, const char *tag, struct color color);

/* ---- sink-line.c ---- */
struct live *live_find(const struct sink *s, uint64_t seq);
/* Print what the job, whose turn it is now, had to hold back. */
int live_turn(struct sink *s, struct live *l);
/* The job ended: its unfinished lines are lines now. */
int live_end(struct sink *s, struct live *l, const char *tag);
void live_free(struct sink *s, struct live *l);

#endif
