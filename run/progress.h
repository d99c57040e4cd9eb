/* progress.h - the status line (--bar, --progress, --eta) and the end-of-run summary.
 * Never garbles job output: progress_hide() before anything else is written. */
#ifndef RUN_PROGRESS_H
#define RUN_PROGRESS_H

#include "config.h"
#include <prong.h>

struct progress;

struct progress_state {
	uint64_t done, failed, started;
	int64_t total;      /* -1: not known yet */
	unsigned running, slots;
	double now;         /* seconds, monotonic */
	const char *last_arg; /* of the job finished last; may be NULL */
};

/* NULL if cfg asks for none. fd: stderr. Knows width (TIOCGWINSZ, WINCH by
 * progress_resize), NO_COLOR, TERM=dumb, and an fd that is no terminal (then plain lines,
 * at most one a second, or only the end). owner_pgrp: process group that must be the
 * terminal's foreground group for the line to show (the guardian's). */
struct progress *progress_new(const struct config *cfg, int fd, pid_t owner_pgrp);
void progress_update(struct progress *p, const struct progress_state *s); /* rate-limited */
double progress_next(const struct progress *p, double now); /* seconds until it wants another call; <0: never */
void progress_hide(struct progress *p);  /* erase the line, before job output */
void progress_resize(struct progress *p);
void progress_end(struct progress *p, const struct progress_state *s); /* last state, newline */

/* ---- summary of failures ---- */
struct summary;
struct summary *summary_new(void);
/* Remember a failed job (kept: the first 10 in detail, the rest counted by kind).
 * last_err: its last stderr line or NULL. */
void summary_add(struct summary *s, uint64_t seq, const char *command,
                 const struct prong_result *r, bool oom, const char *last_err);
/* Print to fd: one line for all, then one per remembered job. Nothing if none failed. */
void summary_print(struct summary *s, int fd, uint64_t jobs_done);
void summary_free(struct summary *s);
/* The cgroup's oom_kill counter (v2 memory.events or v1 memory.oom_control), -1 if unreadable. */
int64_t oom_count(void);

#endif
