/* task.h - one job of a run, from its arguments to its end. */
#ifndef RUN_TASK_H
#define RUN_TASK_H

#include "run.h"
#include <prong.h>

struct task {
	struct task *prev, *next; /* running tasks, or the queue of those to try again */
	uint64_t seq, nth; /* its number; its place in the input (the same but for --retry-failed) */
	int64_t id;       /* the pool's */
	int64_t row;      /* --sqlworker: where the database has it */
	unsigned slot, tries;
	bool evicted;     /* ended by --memfree, to be run again */
	bool suspended;   /* by --memsuspend */
	bool timed_out;   /* ended by --timeout N% */
	bool by_shell;    /* direct exec did not work: the shell says why */
	double started;   /* monotonic seconds */
	int64_t sent[2];  /* bytes of live output seen */
	bool in_line[2];  /* the last of them was no newline */
	char *tag;        /* NULL: none */
	char *dir;        /* working directory; NULL: here */
	struct perl_values *perl; /* what {= =} gave; NULL: not asked yet */
	struct squeezed *squeezed[2]; /* --compress (squeeze.h) */
	struct kept *kept; /* files its output stays in (results.h); NULL: none */
	struct load *load; /* its standard input under --pipe; NULL: none */
	struct prong_stdio in; /* how it gets it */
	char *file;       /* --cat, --fifo: where it is instead */
	int fifo_watch;
	size_t n;
	size_t bytes;     /* of the arguments, one behind the other */
	char *v[];        /* the arguments */
};

struct task_list {
	struct task *head, *tail;
};

/* Does stream i (0, 1) of it go through a program that compresses? */
bool task_squeezes(const struct config *cfg, const struct task *t, int i);
struct task *task_new(const struct args *a, uint64_t seq);
void task_free(struct task *t);
void task_add(struct task_list *l, struct task *t);
void task_push(struct task_list *l, struct task *t);
void task_del(struct task_list *l, struct task *t);

/* Everything that turns a task into a spec; scratch buffers are reused job after job. */
struct builder {
	unsigned long long starts; /* tries of jobs so far */
	const struct config *cfg;
	const struct host *host;
	struct template *command, *tag, *dir, *filter;
	bool direct;        /* the command needs no shell */
	int64_t total;      /* for {##} */
	int nice;           /* to be added */
	unsigned slots;     /* for {0%} */
	struct buf text, words, env[8];
	char **argv;
	size_t argv_cap;
};

int builder_init(struct builder *b, const struct config *cfg, const struct host *host,
                 const struct names *names);
void builder_free(struct builder *b);
/* The command line of a task as the shell would get it; valid until the next call. */
const char *builder_command(struct builder *b, const struct task *t);
/* Submit it; t->slot must be set.  The pool's id, or -errno after a warning. */
int64_t builder_submit(struct builder *b, struct prong *pool, struct task *t);
/* Ask perl for n tasks in one go.  -1 after a message. */
int builder_ask_perl(struct builder *b, struct task **v, size_t n);
/* One of the text templates, expanded; the caller frees it. */
char *builder_text(struct builder *b, const struct template *tp, const struct task *t);
void builder_tag(struct builder *b, struct task *t); /* set t->tag from its template */
/* Set t->tag and t->dir, and make the directory. */
int builder_prepare(struct builder *b, struct task *t);

#endif
