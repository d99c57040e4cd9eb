/* run.h - one run of the command: from input to exit status. */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "config.h"
#include "template.h"
#include <signal.h>
#include <sys/types.h>

/* What the process around the run provides: cmd/main.c fills it from the guardian. */
struct host {
	const sigset_t *job_mask; /* signal mask of jobs */
	pid_t pgrp;               /* process group the terminal belongs to while we run */
	struct shell shell;
	const char *mark;         /* "PRONG_JOB=..." prefix of this run's jobs */
	int signal_fd;            /* signalfd of everything below; -1: none */
	int death_fd;             /* readable or hung up: the guardian died; -1: none */
	void *arg;                /* for the two calls */
	void (*stop)(void *arg);  /* stop this process until SIGCONT (job control) */
	void (*sweep)(void *arg); /* kill every descendant of this process */
	int tty_fd;               /* for --tty: the terminal; -1: there is none */
};

/* What remains to be done by the caller. */
struct outcome {
	int status; /* exit status */
	int signal; /* end by this signal instead, if not 0 */
	bool swept; /* nothing may survive: do not release the background children */
};

/* Run everything.  inputs were opened by the caller, who closes them. */
void run_all(const struct config *cfg, const struct host *host, struct inputs *in,
             struct outcome *out);

#endif
