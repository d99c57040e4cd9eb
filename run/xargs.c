/* xargs.c - fills command lines and runs them, with the statuses of xargs. */
#include "xargs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

extern char **environ;

enum { HEADROOM = 2048, DEFAULT_CHARS = 128 * 1024, ONE_MAX = 128 * 1024, LOOK_MS = 10 };

struct run {
	const struct xargs *x;
	const struct host *host;
	struct word_reader *in;
	struct prong *pool;
	/* the line that is being filled: words with their NULs */
	struct buf line;
	size_t n, lines;      /* words and input lines in it */
	size_t fixed, most;   /* bytes of the command alone; of all */
	size_t pointers;      /* bytes that further argument pointers may take */
	size_t part;          /* bytes of a word that is not complete yet */
	size_t held;          /* bytes of the last word, if it belongs into the next line */
	bool held_ends;
	bool ready, over, watched, any, stop, ended;
	int jobs;             /* at once: -P, changed by signals */
	char **argv;
	size_t argv_cap;
	struct buf slot;
	unsigned running;
	int status, signal;
};

static const int tag_signal, tag_death, tag_input;

/* ---- limits ---- */

static size_t env_size(size_t *n)
{
	size_t bytes = 0;
	*n = 0;
	for (char **e = environ; *e; e++, ++*n)
		bytes += strlen(*e) + 1;
	return bytes;
}

size_t xargs_most(void)
{
	size_t n, env = env_size(&n);
	long max = sysconf(_SC_ARG_MAX);
	size_t all = max > 0 ? (size_t)max : _POSIX_ARG_MAX;
	return all > env + HEADROOM + ONE_MAX / 32 ? all - env - HEADROOM : ONE_MAX / 32;
}

size_t xargs_default(void)
{
	size_t most = xargs_most();
	return most < DEFAULT_CHARS ? most : DEFAULT_CHARS;
}

void xargs_show_limits(const struct xargs *x)
{
	size_t n, env = env_size(&n);
	fprintf(stderr,
	        "Your environment variables take up %zu bytes\n"
	        "POSIX upper limit on argument length (this system): %zu\n"
	        "POSIX smallest allowable upper limit on argument length (all systems): %d\n"
	        "Maximum length of command we could actually use: %zu\n"
	        "Longest single argument: %d\n"
	        "Size of command buffer we are actually using: %zu\n"
	        "Maximum parallelism (--max-procs must be no greater): %d\n",
	        env, xargs_most() + env, _POSIX_ARG_MAX, xargs_most(), ONE_MAX - 1,
	        x->max_chars ? x->max_chars : xargs_default(), INT_MAX);
}

/* The kernel counts pointers too, against the same limit as all bytes. */
static size_t pointer_room(const struct run *r)
{
	size_t n, env = env_size(&n);
	long max = sysconf(_SC_ARG_MAX);
	size_t all = max > 0 ? (size_t)max : ONE_MAX;
	size_t taken = env + HEADROOM + (n + r->x->ncommand + 2) * sizeof(char *);
	return all > taken ? all - taken : 0;
}

/* ---- messages and status ---- */

static void worse(struct run *r, int status)
{
	if (!r->status || status > r->status)
		r->status = status;
}

static void give_up(struct run *r, int status)
{
	worse(r, status);
	r->stop = true;
}

/* One word as a shell would read it, for -t and -p. */
static void say_word(struct buf *b, const char *s)
{
	bool plain = *s != '\0', doubled = strchr(s, '\'') != NULL;
	for (const char *p = s; *p; p++) {
		plain &= (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		         (*p >= '0' && *p <= '9') || strchr("%+,-./:@_", *p) || (*p & 0x80);
		doubled &= !strchr("\"$`\\!\n", *p);
	}
	if (plain) {
		buf_str(b, s);
	} else if (doubled) {
		buf_fmt(b, "\"%s\"", s);
	} else {
		buf_chr(b, '\'');
		for (; *s; s++)
			if (*s == '\'')
				buf_str(b, "'\\''");
			else
				buf_chr(b, *s);
		buf_chr(b, '\'');
	}
}

static void say_command(const struct run *r, const char *end)
{
	struct buf b = { 0 };
	for (char **a = r->argv; *a; a++) {
		if (a != r->argv)
			buf_chr(&b, ' ');
		say_word(&b, *a);
	}
	buf_str(&b, end);
	for (size_t at = 0; at < b.len;) {
		ssize_t n = write(STDERR_FILENO, b.s + at, b.len - at);
		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	buf_free(&b);
}

static void heed_signals(struct run *r);

/* Signals first: Ctrl-C must not be taken for an answer, nor what was typed after it: so poll looks
 * at them last.  False: it ends the run. */
static bool wait_for_answer(struct run *r, int fd)
{
	struct pollfd p[] = { { fd, POLLIN, 0 }, { r->host->signal_fd, POLLIN, 0 } };
	while (!r->stop) {
		int n = poll(p, 2, -1);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0 && p[1].revents)
			heed_signals(r);
		else if (n > 0)
			return true;
	}
	return false;
}

/* -p: the terminal is ours while we ask. */
static bool agreed(struct run *r)
{
	char answer[256] = "";
	sigset_t tty, old;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		say_command(r, "?...");
		warn("-p: cannot ask: there is no terminal (/dev/tty):");
		give_up(r, XARGS_ERROR);
		return false;
	}
	sigemptyset(&tty);
	sigaddset(&tty, SIGTTOU);
	sigaddset(&tty, SIGTTIN);
	sigprocmask(SIG_BLOCK, &tty, &old);
	pid_t before = tcgetpgrp(fd);
	tcsetpgrp(fd, getpgrp()); /* before the question: Ctrl-C at it is sent to us */
	say_command(r, "?...");
	FILE *f = fdopen(fd, "r");
	if (!f || !wait_for_answer(r, fd) || !fgets(answer, sizeof answer, f))
		*answer = '\0';
	if (before > 0)
		tcsetpgrp(fd, before);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (f)
		fclose(f);
	return *answer == 'y' || *answer == 'Y';
}

/* ---- filling a line ---- */

static size_t limit_of(const struct xargs *x)
{
	return x->max_chars ? x->max_chars : xargs_default();
}

static int too_long(struct run *r, size_t bytes)
{
	if (bytes + 1 > ONE_MAX)
		warn("an argument of %zu bytes: the system takes no single argument longer than %d",
		     bytes, ONE_MAX - 1);
	else
		warn("the command line would be longer than %zu bytes (%s; the system's limit here is"
		     " %zu, environment included)", r->most,
		     r->x->max_chars ? "-s" : "the default of -s", xargs_most());
	give_up(r, XARGS_ERROR);
	return 0;
}

static bool full(const struct run *r)
{
	return (r->x->max_args && r->n >= (size_t)r->x->max_args) ||
	       (r->x->max_lines && r->lines >= (size_t)r->x->max_lines);
}

/* The last word of r->line, `len` bytes with its NUL: does it fit?  If not it is held. */
static bool fits(struct run *r, size_t len, bool ends)
{
	if (r->fixed + r->line.len <= r->most && len <= ONE_MAX &&
	    r->line.len + (r->n + 1) * sizeof(char *) <= r->pointers) {
		r->n++;
		r->lines += ends;
		return true;
	}
	if (!r->n || len > ONE_MAX || (r->x->exit_if_long && (r->x->max_args || r->x->max_lines)))
		too_long(r, len - 1);
	r->held = len;
	r->held_ends = ends;
	return false;
}

/* What did not fit begins the next line. */
static void next_line(struct run *r)
{
	size_t at = r->line.len - r->held;
	if (r->line.s)
		memmove(r->line.s, r->line.s + at, r->held);
	r->line.len = r->held;
	r->n = r->lines = 0;
	r->ready = false;
	if (r->held)
		fits(r, r->held, r->held_ends);
	r->held = 0;
}

/* 1: r->line is to be run; 0: nothing more; -EAGAIN: not yet. */
static int fill(struct run *r)
{
	bool ends;
	while (!r->over && !full(r)) {
		size_t before = r->line.len - r->part;
		int e = word_next(r->in, &r->line, &ends);
		r->part = e == -EAGAIN ? r->line.len - before : 0;
		if (e == -EAGAIN)
			return e;
		if (e < 0) {
			worse(r, XARGS_ERROR);
			if (r->x->exit_if_long) /* -x, -L: then an incomplete line is not run */
				return 0;
		}
		if (e != 1) { /* also after an error: what was read until then is run */
			r->over = true;
			r->line.len = before;
			r->any |= e < 0;
			break;
		}
		if (!fits(r, r->line.len - before, ends))
			return !r->stop;
	}
	if (r->stop)
		return 0;
	if (r->n == 0)
		return !r->any && !r->x->no_run_if_empty && !r->x->replace;
	return 1;
}

/* ---- running one ---- */

static void room_for(struct run *r, size_t n)
{
	if (n <= r->argv_cap)
		return;
	r->argv_cap = n * 2;
	r->argv = xrealloc(r->argv, r->argv_cap * sizeof *r->argv);
}

static void append_words(struct run *r)
{
	room_for(r, r->x->ncommand + r->n + 1);
	size_t n = r->x->ncommand;
	memcpy(r->argv, r->x->command, n * sizeof *r->argv);
	char *p = r->line.s;
	for (size_t i = 0; i < r->n; i++, p += strlen(p) + 1)
		r->argv[n++] = p;
	r->argv[n] = NULL;
}

/* -I: the word goes into the arguments; the command's name stays. */
static bool replace_words(struct run *r, struct buf *text)
{
	size_t n = r->x->ncommand, len = strlen(r->x->replace), total = 0;
	size_t at[n + 1];
	buf_clear(text);
	for (size_t i = 0; i < n; i++) {
		const char *s = r->x->command[i], *hit;
		at[i] = text->len;
		while (i && len && (hit = strstr(s, r->x->replace))) {
			buf_add(text, s, (size_t)(hit - s));
			buf_str(text, r->line.s);
			s = hit + len;
		}
		buf_add(text, s, strlen(s) + 1);
		total = text->len;
		if (text->len - at[i] > ONE_MAX || total > r->most)
			return too_long(r, text->len - at[i] - 1);
	}
	room_for(r, n + 1);
	for (size_t i = 0; i < n; i++)
		r->argv[i] = text->s + at[i];
	r->argv[n] = NULL;
	return true;
}

static void submit(struct run *r)
{
	const struct xargs *x = r->x;
	char *env[2] = { NULL, NULL }; /* nothing of ours, as under xargs: no mark either */
	int in = x->open_tty ? r->host->tty_fd : -1;
	bool foreground = r->host->tty_fd >= 0 && (x->open_tty || x->jobs == 1);
	if (x->slot_var) {
		buf_clear(&r->slot);
		buf_fmt(&r->slot, "%s=%u", x->slot_var, prong_next_slot(r->pool) - 1);
		env[0] = r->slot.s;
	}
	int64_t id = prong_submit(
		r->pool,
		PRONG_SPEC(.argv = r->argv, .setenv = env,
	                   .in = { .how = in >= 0 ? PRONG_FD : x->file ? PRONG_INHERIT : PRONG_NULL,
	                           .fd = in },
	                   .out = { .how = PRONG_INHERIT }, .err = { .how = PRONG_INHERIT },
	                   .flags = PRONG_KEEP_FDS | (foreground ? PRONG_FOREGROUND : 0u),
	                   .tty_fd = r->host->tty_fd));
	if (id < 0) {
		warn("cannot run '%s': %s", x->command[0], prong_strerror((int)id));
		give_up(r, XARGS_ERROR);
	}
	r->running += id >= 0;
}

static void start_line(struct run *r)
{
	struct buf text = { 0 };
	bool ok = true;
	if (r->x->replace && r->n)
		ok = replace_words(r, &text);
	else
		append_words(r);
	if (ok && r->x->interactive)
		ok = agreed(r);
	else if (ok && r->x->verbose)
		say_command(r, "\n");
	if (ok && !r->stop)
		submit(r);
	buf_free(&text);
	r->any = true;
	next_line(r);
}

/* ---- what ended ---- */

static void not_started(struct run *r, const struct prong_result *res)
{
	const char *name = r->x->command[0];
	if (res->status == E2BIG)
		warn("%s: %s: the command line and the environment are longer than the system takes"
		     " here (%zu bytes); lower -s", name, strerror(E2BIG), xargs_most());
	else
		warn("%s: %s", name, strerror(res->status));
	give_up(r, res->status == ENOENT ? XARGS_NOT_FOUND : XARGS_CANNOT);
}

static void done(struct run *r, const struct prong_result *res)
{
	const char *name = r->x->command[0];
	if (res->how == PRONG_NOTSTARTED) {
		not_started(r, res);
	} else if (res->how == PRONG_EXITED && res->status == 255) {
		warn("%s: exited with status 255; aborting", name);
		give_up(r, XARGS_255);
	} else if (res->how == PRONG_EXITED) {
		if (res->status)
			worse(r, XARGS_FAILED);
	} else if (!r->ended) {
		warn("%s: terminated by signal %d", name, res->status);
		give_up(r, XARGS_KILLED);
	}
}

/* ---- signals ---- */

static void end_all(struct run *r)
{
	r->stop = r->ended = true;
	prong_stop(r->pool, 0);
}

static void one_signal(struct run *r, int sig)
{
	unsigned jobs = (unsigned)r->jobs;
	switch (sig) {
	case SIGUSR1:
		r->jobs += r->jobs < INT_MAX;
		break;
	case SIGUSR2:
		r->jobs -= r->jobs > 1;
		break;
	case SIGTSTP:
		prong_signal(r->pool, 0, SIGSTOP);
		r->host->stop(r->host->arg);
		prong_signal(r->pool, 0, SIGCONT);
		break;
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
	case SIGHUP:
		if (r->signal)
			r->host->sweep(r->host->arg);
		r->signal = sig;
		end_all(r);
		break;
	default:
		break;
	}
	if (jobs != (unsigned)r->jobs)
		prong_resize(r->pool, (unsigned)r->jobs);
}

static void heed_signals(struct run *r)
{
	struct signalfd_siginfo si;
	while (read(r->host->signal_fd, &si, sizeof si) == (ssize_t)sizeof si)
		one_signal(r, (int)si.ssi_signo);
}

static void ready(struct run *r, const void *tag)
{
	if (tag == &tag_death) {
		r->host->sweep(r->host->arg);
		_exit(128 + SIGKILL);
	}
	if (tag == &tag_input) {
		prong_watch(r->pool, word_fd(r->in), 0, NULL);
		r->watched = false;
		return;
	}
	heed_signals(r);
}

/* ---- the loop ---- */

static void watch_input(struct run *r)
{
	if (!r->watched && prong_watch(r->pool, word_fd(r->in), PRONG_READ,
	                               (void *)(uintptr_t)&tag_input) == 0)
		r->watched = true;
}

/* Read on while jobs run, so that a line is ready when one ends. */
static void feed(struct run *r)
{
	while (!r->stop) {
		if (!r->ready) {
			int e = r->watched ? -EAGAIN : fill(r);
			if (e == -EAGAIN)
				watch_input(r);
			if (e != 1) {
				r->stop |= e == 0;
				return;
			}
			r->ready = true;
		}
		if (!prong_room(r->pool))
			return;
		start_line(r);
		if (r->over && !r->n)
			r->stop = true;
	}
}

static int loop(struct run *r)
{
	const struct prong_event *ev;
	for (;;) {
		feed(r);
		if (r->stop && !r->running && !(r->ended && prong_ending(r->pool)))
			return 0;
		int e = prong_wait(r->pool, &ev, r->ended ? LOOK_MS : -1);
		if (e == 1 && ev->type == PRONG_DONE) {
			r->running--;
			done(r, ev->result);
		}
		if (e == 1 && ev->type == PRONG_READY)
			ready(r, ev->tag);
		else if (e < 0 && e != -ECHILD)
			return e;
	}
}

static int open_pool(struct run *r)
{
	struct prong_options o = { .size = sizeof o, .jobs = (unsigned)r->jobs,
		                   .sigmask = r->host->job_mask,
		                   .flags = PRONG_REAP_STRAYS | PRONG_NO_HANDLERS };
	int e = prong_open(&r->pool, &o);
	if (e == 0 && r->host->signal_fd >= 0)
		e = prong_watch(r->pool, r->host->signal_fd, PRONG_READ, (void *)(uintptr_t)&tag_signal);
	if (e == 0 && r->host->death_fd >= 0)
		e = prong_watch(r->pool, r->host->death_fd, PRONG_READ, (void *)(uintptr_t)&tag_death);
	return e;
}

static void measure(struct run *r)
{
	for (size_t i = 0; i < r->x->ncommand; i++)
		r->fixed += strlen(r->x->command[i]) + 1;
	r->most = limit_of(r->x);
	r->pointers = pointer_room(r);
	if (r->fixed > r->most)
		too_long(r, 0);
}

void xargs_run(const struct xargs *x, const struct host *host, struct word_reader *in,
               struct outcome *out)
{
	struct run r = { .x = x, .host = host, .in = in, .jobs = x->jobs };
	int e = open_pool(&r);
	measure(&r);
	if (e == 0)
		e = loop(&r);
	if (e != 0)
		warn("cannot go on: %s", prong_strerror(e));
	*out = (struct outcome){ .status = e ? XARGS_ERROR : r.status, .signal = r.signal,
		                 .swept = r.ended };
	prong_close(r.pool);
	buf_free(&r.line);
	buf_free(&r.slot);
	free(r.argv);
}
