/* results.h - output that stays in files: --results DIR and its templates, --files. */
#ifndef RUN_RESULTS_H
#define RUN_RESULTS_H

#include "task.h"

/* The files of one job. */
struct kept {
	int fd[2];     /* the job's stdout and stderr; -1: not kept */
	char *path[2];
	char *seq;     /* where the job's number goes when it ended; NULL: nowhere */
	bool listed;   /* --files: its name is printed; it goes away if the job never ended */
};

struct results;

enum results_kind { RESULTS_NONE, RESULTS_FILES, RESULTS_TABLE, RESULTS_DATABASE };
/* By the end of the name of --results. */
enum results_kind results_kind(const struct config *cfg);

/* cfg asks for files: the rest.  NULL after warn(). */
struct results *results_new(const struct config *cfg, const struct names *names);
void results_free(struct results *rs);
/* Open (or empty, for another try) the files of a task: t->kept.  -errno after warn(). */
int results_begin(struct results *rs, struct builder *b, struct task *t);
/* The job ended: its number is written, its files are closed.  -errno after warn(). */
int results_end(struct task *t);
/* --resume without a job log: are the task's results already there? */
bool results_there(struct results *rs, struct builder *b, const struct task *t);
/* Close; what only --files would have named is removed, unless it was. */
void kept_free(struct kept *k);

#endif
