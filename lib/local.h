/* local.h - what the local engine's pieces share.  Private. */
#ifndef LIB_LOCAL_H
#define LIB_LOCAL_H

#include "engine.h"
#include "path.h"
#include "proc.h"

#include <limits.h>

enum { STACK_SIZE = 64 * 1024, IO_SIZE = 64 * 1024, PADS = 8, PAD_STACK = 16 * 1024 };

struct env { /* reused from job to job */
	char **v;
	size_t cap;
	struct env_name {
		const char *s; /* "NAME=VALUE"; len bytes are the name */
		size_t len;
	} *names;      /* of what overrides */
	size_t names_cap;
	char *text;    /* copies of strings */
	size_t text_cap;
};

/* One child on its way to exec. */
struct pad {
	int way; /* not 0: it is on it, and nothing here may be touched; the kernel clears it */
	char *stack;
	struct plan plan;
	struct env env;
	char path[PATH_MAX]; /* where $PATH said: the table may be forgotten meanwhile */
	struct slot *of; /* whose start it is, until that is settled */
};

struct local {
	int null;
	char *stack, *io; /* NULL until needed */
	int **reports;    /* pages of them, shared with children */
	unsigned nreports;
	struct env env;
	struct pad *pads;
	char seed_env[PR_SEED_ENV];
	struct paths *paths;
	struct vessels vessels;
	struct slot *draining; /* exited, its pipes hold what it wrote last */
	struct timer strays, tick;
	unsigned no_pidfd; /* running jobs without one */
	struct watch exits; /* says that some of those may have ended; fd -1: the clock does */
	bool look;          /* some may have: look at them, from this slot on */
	unsigned look_at;
};

static inline struct local *pr_local(const struct prong *p)
{
	return p->engine;
}

/* One start: the plan and what lives as long as it. */
struct start {
	struct plan plan;
	struct pad *pad;        /* NULL: we wait until it has come to exec */
	int to_close[NSTREAMS]; /* the children's ends of pipes */
};

void pr_plan_mask(const struct prong *p, struct plan *pl); /* engine-local.c */

/* pages.c */
int pr_need(char **pages, size_t size); /* map them if *pages is NULL; 0 or -ENOMEM */
void pr_unneed(void *pages, size_t size); /* NULL is allowed */
/* Two ints that a child can write into, for a slot, until the pool is closed. 0 or -ENOMEM. */
int pr_report_new(struct local *l, volatile int **report);
void pr_reports_free(struct local *l);

/* apart.c */
struct pad *pr_pad_take(struct local *l, const struct job *j); /* NULL: none fits or is free */
void pr_pad_settle(struct slot *s); /* its child has left the pad: note what became of it */
void pr_pads_free(struct local *l);

/* env.c: env->v = base with the strings of extra (may be NULL) overriding. 0 or -ENOMEM. */
int pr_env_build(struct env *env, char *const *base, char *const *extra);
int pr_env_own(struct env *env); /* have the strings too: their owner may change them */
void pr_env_free(struct env *env);

/* streams.c: the standard streams of a slot's job. */
int pr_streams_open(struct prong *p, struct slot *s, struct start *st); /* 0 or -errno */
void pr_streams_given(struct slot *s, struct start *st); /* the child has its ends now */
/* It ended: take the lengths of files.  What pipes hold now is its too: true if any do. */
void pr_streams_settle(struct prong *p, struct slot *s);
bool pr_streams_measure(struct slot *s);
/* Read one piece of what was measured; 1: *f has output for the host, 0: all is read. */
int pr_streams_drain(struct prong *p, struct slot *s, struct fired *f);
void pr_streams_close(struct prong *p, struct slot *s); /* files are kept for other jobs */
void pr_streams_abandon(struct prong *p, struct slot *s); /* the start failed */

#endif
