/* run-impl.h - the state of a run, shared by run*.c, feed.c and done.c only. */
#ifndef RUN_RUN_IMPL_H
#define RUN_RUN_IMPL_H

#include "gate.h"
#include "database.h"
#include "fill.h"
#include "halt.h"
#include "joblog.h"
#include "latest.h"
#include "pack.h"
#include "progress.h"
#include "results.h"
#include "run.h"
#include "sink.h"
#include "squeeze.h"
#include "table.h"
#include "task.h"
#include "timing.h"

struct run {
	const struct config *cfg;
	const struct host *host;
	struct inputs *in;
	struct pack *pack;        /* gives the values of each command */
	struct pipe *pipe;        /* or the blocks: --pipe; NULL: no blocks */
	struct builder b;
	struct prong *pool;
	struct sink *sink;
	struct joblog *log;
	struct results *results;  /* files that jobs write into; NULL: none */
	struct fill *fill;        /* --template; NULL: none */
	struct database *db;      /* --results FILE.sqlite, --sqlmaster, --sqlworker */
	bool taking;              /* tasks come from the database */
	struct latest *latest;    /* --latest-line; NULL: not asked for */
	struct squeezer *squeezer; /* --compress; NULL: none */
	struct table *table;      /* --results FILE.csv ...; the sink writes into it */
	struct progress *progress;
	struct config cfg_shown;  /* for a progress that SIGUSR2 turned on */
	struct summary *summary;
	struct tally tally;
	struct median times;      /* for --timeout N% */
	struct task_list running, again, ready; /* ready: read ahead for {##} */
	size_t ask_ahead;         /* tasks that perl is asked about at once */
	uint64_t seq, started, finished;
	unsigned reads;           /* of the input, counted to look at signals */
	uint64_t resumed;         /* done before: not run */
	struct gate gate;         /* --memfree and its like */
	double delay;             /* --delay; auto changes it */
	double next_start;
	double next_jobs_look;    /* -j FILE */
	double room_until;        /* until then TMPDIR cannot be full */
	bool room_unseen;         /* that was relied on last */
	bool no_more;             /* start nothing new */
	bool input_over, input_watched;
	bool wants_total;         /* --bar, --eta, --halt N%: read ahead to learn it */
	bool ended;               /* everything was told to stop */
	int signal;               /* the signal that ends the run */
	int failure;              /* exit status of an error of ours, 255 */
	int64_t oom;
};

/* ---- run.c ---- */
/* Something of ours failed: say it once (NULL: already said), end everything. */
void run_fail(struct run *r, const char *what);
void run_check_sink(struct run *r, int e);
void run_end_all(struct run *r);
void run_hide_progress(struct run *r);
void run_make_way(struct run *r); /* before a line on standard error: for --latest-line as well */
bool run_wants_summary(const struct run *r); /* what failed is said at the end */
void run_loop(struct run *r); /* until every job has ended */
void run_handle(struct run *r, const struct prong_event *ev);
void run_end_lines(struct run *r, struct task *t); /* a try failed within a line */

/* ---- run-setup.c ---- */
bool run_set_up(struct run *r, unsigned jobs); /* false after warn() */
void run_tear_down(struct run *r);

/* ---- run-signals.c ---- */
int run_watch_host(struct run *r); /* signals, and the guardian's death */
void run_watch_input(struct run *r, bool on);
void run_ready(struct run *r, const void *tag); /* what is watched */
bool run_go_on(void *arg); /* heed signals while something else is waited for; arg: the run */
struct progress_state run_state(const struct run *r); /* how far it is */

/* ---- run-plan.c: no job is started, or others start them ---- */
void run_dry(struct run *r, unsigned jobs); /* --dry-run needs no pool: slots are dealt in turn */
void run_sql_jobs(struct run *r); /* --sqlmaster and kin */

/* ---- feed.c: what to start next ---- */
/* The next task, or NULL: none now. */
struct task *feed_next(struct run *r);
void feed_fill(struct run *r); /* start what there is room for */
/* Ask perl about a task that has its slot now; true: it is skipped, and gone. */
bool feed_skips(struct run *r, struct task *t);
/* Read some more input to learn the total; true: there may be more at once. */
bool feed_look_ahead(struct run *r);
/* A task that is not run after all: its row of a database is there for others again. */
void feed_give_up(struct run *r, struct task *t);

/* ---- done.c: what ended ---- */
/* Bytes of a running job that also go into a file. */
void done_squeeze(struct run *r, struct task *t, const struct prong_event *ev);
void done_squeezed_free(struct run *r, struct task *t);
void done_keep(struct run *r, struct task *t, const struct prong_event *ev);
void done_job(struct run *r, struct task *t, const struct prong_result *res);
void done_check_room_at_last(struct run *r); /* is there any in TMPDIR? */

#endif
