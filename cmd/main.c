/* main.c - from argv to a run, and from its outcome to the end of the process. */
#include "guardian.h"
#include "jobs.h"
#include "options.h"
#include "pipe.h"
#include "run.h"
#include "sem.h"
#include "xargs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A closed 0, 1 or 2 would be taken by the next file we open.  What stands in for standard
 * output refuses what is written, as a closed one does: nothing is lost in silence. */
static void open_std_fds(void)
{
	int fd;
	do
		fd = open("/dev/null", fcntl(STDOUT_FILENO, F_GETFD) < 0 ? O_RDONLY : O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* --help, --version and their like: written to the end? */
static int all_said(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	warn("cannot write to standard output:");
	return 255;
}

static void stop_here(void *arg)
{
	guard_stop(arg);
}

static void sweep_here(void *arg)
{
	(void)arg;
	sweep_descendants(0);
}

static void finish(struct guard *g, const struct outcome *o)
{
	if (o->swept)
		sweep_descendants(0);
	sem_release();
	if (o->signal)
		die_by(o->signal);
	guard_release(g);
	exit(o->status);
}

static void become_runner(struct guard *g, bool pump_stdin)
{
	int e = guard_start(g, pump_stdin);
	if (e != 0) {
		errno = -e;
		die("cannot start:");
	}
}

/* -1: it is ours, go on; else what to exit with. */
static int semaphore(struct config *cfg)
{
	int limit = 1;
	if (cfg->sem_wait)
		return sem_wait_all(cfg) == 0 ? 0 : 255;
	if (cfg->jobs && (limit = jobs_count(cfg)) <= 0)
		return 255;
	cfg->jobs = "1";
	if (cfg->dry_run)
		return -1;
	enum sem_got got = sem_take(cfg, limit);
	if (got == SEM_HELD)
		sem_background(cfg);
	return got == SEM_HELD ? -1 : got == SEM_TIMED_OUT ? 1 : 255;
}

static void fill_host(struct host *host, struct guard *g)
{
	host->arg = g;
	host->stop = stop_here;
	host->sweep = sweep_here;
	host->job_mask = &g->user_mask;
	host->pgrp = g->pgrp;
	host->signal_fd = guard_signals(g);
	if (host->signal_fd < 0)
		die("cannot watch for signals:");
	host->death_fd = g->fd;
}

static int as_xargs(int argc, char **argv)
{
	static struct xargs x; /* what commands get lives as long as the process */
	struct guard g = { .fd = -1 };
	struct host host = { 0 };
	struct outcome o;
	int status = xargs_parse(&x, argc, argv);
	if (status >= 0)
		return status;
	struct word_reader *in = xargs_open(&x);
	if (!in)
		return XARGS_ERROR;
	if (x.show_limits)
		xargs_show_limits(&x);
	become_runner(&g, word_fd(in) == STDIN_FILENO && isatty(STDIN_FILENO));
	host.tty_fd = x.open_tty || x.jobs == 1 ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
	fill_host(&host, &g);
	xargs_run(&x, &host, in, &o);
	word_free(in);
	finish(&g, &o);
	return o.status;
}

int main(int argc, char **argv)
{
	static struct config cfg; /* much of it lives as long as the process */
	struct guard g = { .fd = -1 };
	struct inputs *in = NULL;
	struct buf mark = { 0 };
	struct outcome o;
	open_std_fds();
	if (xargs_called(&argc, &argv))
		return all_said(as_xargs(argc, argv));
	int status = options_parse(&cfg, argc, argv);
	if (status >= 0)
		return all_said(status);
	if (cfg.sweep_orphans)
		return all_said(sweep_orphans(true) < 0 ? 255 : 0);
	struct host host = { 0 };
	shell_choose(&host.shell, getppid());
	cfg.quoting = host.shell.quoting;
	perl_quoting(cfg.perl, cfg.quoting);
	if (access(host.shell.path, X_OK) != 0)
		die("cannot use the shell '%s' (from $PARALLEL_SHELL or $SHELL):", host.shell.path);
	bool pipe = pipe_wanted(&cfg);
	if ((pipe ? pipe_inputs(&in, &cfg) : inputs_open(&in, &cfg)) != 0)
		return 255;
	if (cfg.semaphore && (status = semaphore(&cfg)) >= 0) {
		inputs_close(in);
		return status;
	}
	bool typed = (pipe ? pipe_uses_stdin(&cfg) : inputs_use_stdin(in)) && isatty(STDIN_FILENO);
	if (typed && cfg.interactive)
		die("--interactive: the values cannot be typed as well; give them by ::: or -a");
	if (typed)
		warn("reading values from the terminal, until Ctrl-D; values in the command line follow"
		     " ':::', files '::::'");
	become_runner(&g, typed);
	host.tty_fd = cfg.tty || cfg.interactive || cfg.open_tty ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
	if (cfg.interactive && host.tty_fd < 0 && !cfg.dry_run)
		die("--interactive: there is no terminal to ask on:");
	buf_fmt(&mark, "PRONG_JOB=%s", run_mark());
	fill_host(&host, &g);
	host.mark = mark.s;
	run_all(&cfg, &host, in, &o);
	inputs_close(in);
	buf_free(&mark);
	finish(&g, &o);
}
