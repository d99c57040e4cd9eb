/* run-signals.c - what a run waits for beside its jobs: signals, the guardian's death, input. */
#include "run-impl.h"

#include "pipe.h"
#include "terminal.h"

#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int tag_signal, tag_death, tag_input; /* addresses name the watched fds */

int run_watch_host(struct run *r)
{
	int e = 0;
	if (r->host->signal_fd >= 0)
		e = prong_watch(r->pool, r->host->signal_fd, 1, (void *)(uintptr_t)&tag_signal);
	if (e == 0 && r->host->death_fd >= 0)
		e = prong_watch(r->pool, r->host->death_fd, 1, (void *)(uintptr_t)&tag_death);
	return e;
}

void run_watch_input(struct run *r, bool on)
{
	if (r->input_watched == on)
		return;
	int fd = r->pipe ? pipe_fd(r->pipe) : inputs_fd(r->in);
	if (on && fd < 0)
		return;
	int e = prong_watch(r->pool, fd, on, (void *)(uintptr_t)&tag_input);
	if (on && e < 0)
		return; /* a file that is always ready never says "not yet" */
	r->input_watched = on;
}

static void list_running(struct run *r)
{
	run_make_way(r);
	for (struct task *t = r->running.head; t; t = t->next)
		dprintf(STDERR_FILENO, "prong: running: job %llu: %s\n",
		        (unsigned long long)t->seq, builder_command(&r->b, t));
}

struct progress_state run_state(const struct run *r)
{
	int64_t total = r->tally.total < 0 && r->cfg->total_jobs ? r->cfg->total_jobs
	                                                           : r->tally.total;
	return (struct progress_state){ .done = r->finished, .failed = r->tally.failed,
		                        .started = r->started, .total = total,
		                        .running = prong_running(r->pool),
		                        .now = timing_now() };
}

static void say_progress(struct run *r)
{
	struct progress_state s = run_state(r);
	run_make_way(r);
	dprintf(STDERR_FILENO, "prong: %llu done, %llu failed, %u running",
	        (unsigned long long)s.done, (unsigned long long)s.failed, s.running);
	if (s.total >= 0)
		dprintf(STDERR_FILENO, ", %lld in all", (long long)s.total);
	dprintf(STDERR_FILENO, "\n");
}

/* SIGUSR2 turns the status line on and off. */
static void toggle_progress(struct run *r)
{
	struct progress_state s = run_state(r);
	if (r->progress) {
		progress_end(r->progress, &s);
		r->progress = NULL;
		return;
	}
	r->cfg_shown = *r->cfg;
	r->cfg_shown.progress = true;
	r->progress = progress_new(&r->cfg_shown, STDERR_FILENO, r->host->pgrp);
}

static void stop_and_go(struct run *r)
{
	run_hide_progress(r);
	prong_signal(r->pool, 0, SIGSTOP);
	if (r->cfg->open_tty)
		terminal_give(r->host);
	r->host->stop(r->host->arg);
	if (r->cfg->open_tty)
		terminal_take(r->host);
	prong_signal(r->pool, 0, SIGCONT);
	gate_suspend_again(r);
}

static void one_signal(struct run *r, int sig)
{
	switch (sig) {
	case SIGHUP:
		r->no_more = true;
		break;
	case SIGUSR1:
		list_running(r);
		break;
	case SIGUSR2:
		say_progress(r);
		toggle_progress(r);
		break;
	case SIGWINCH:
		if (r->progress)
			progress_resize(r->progress);
		break;
	case SIGTSTP:
		stop_and_go(r);
		break;
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
		if (r->signal) /* asked twice: no more patience */
			r->host->sweep(r->host->arg);
		r->signal = sig;
		run_end_all(r);
		break;
	default:
		break;
	}
}

static void read_signals(struct run *r)
{
	struct signalfd_siginfo si;
	while (read(r->host->signal_fd, &si, sizeof si) == (ssize_t)sizeof si)
		one_signal(r, (int)si.ssi_signo);
}

static void guardian_died(struct run *r)
{
	r->host->sweep(r->host->arg);
	_exit(128 + SIGKILL);
}

void run_ready(struct run *r, const void *tag)
{
	if (tag == &tag_signal)
		read_signals(r);
	else if (tag == &tag_death)
		guardian_died(r);
	else if (tag == &tag_input)
		run_watch_input(r, false);
	else
		pipe_ready(r, (void *)(uintptr_t)tag);
}

/* A reader that never reads must not keep us from heeding signals. */
bool run_go_on(void *arg)
{
	struct run *r = arg;
	read_signals(r);
	return !r->ended;
}
