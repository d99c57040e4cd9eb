/* terminal.c - takes the terminal, asks on it whether to run a command, gives it back.
 *
 * The runner is no process of the terminal's foreground, so it takes the terminal for as
 * long as it or its jobs read.  What somebody else took meanwhile is left alone.  (SIGTTOU is
 * blocked.) */
#include "terminal.h"

#include "copy.h"

#include <errno.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

void terminal_take(const struct host *host)
{
	if (host->tty_fd >= 0 && tcgetpgrp(host->tty_fd) == host->pgrp)
		tcsetpgrp(host->tty_fd, getpgrp());
}

void terminal_give(const struct host *host)
{
	if (host->tty_fd >= 0 && tcgetpgrp(host->tty_fd) == getpgrp())
		tcsetpgrp(host->tty_fd, host->pgrp);
}

/* Started in the background: stop, as any program that wants to read does. */
static bool wait_for_terminal(const struct host *host, bool (*go_on)(void *arg), void *arg)
{
	for (pid_t front; (front = tcgetpgrp(host->tty_fd)) != host->pgrp && front != getpgrp();) {
		if (front < 0)
			return false;
		host->stop(host->arg);
		if (!go_on(arg))
			return false;
	}
	return true;
}

/* A signal first: Ctrl-C must not be taken for an answer, nor what was typed after it.  So the signals
 * are the last that poll looks at. */
static int wait_readable(const struct host *host, bool (*go_on)(void *arg), void *arg)
{
	for (;;) {
		struct pollfd p[] = { { host->tty_fd, POLLIN, 0 }, { host->signal_fd, POLLIN, 0 } };
		if (poll(p, 2, -1) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (p[1].revents && !go_on(arg))
			return -EINTR;
		if (p[1].revents)
			return 0; /* stopped and gone on: the terminal may not be ours any more */
		if (p[0].revents)
			return 1;
	}
}

/* The first byte of a line, or the end of it; what follows is read and dropped. */
static enum answer read_answer(int fd)
{
	char line[4096];
	ssize_t n = read(fd, line, sizeof line);
	enum answer a = n > 0 && (*line == 'y' || *line == 'Y') ? ANSWER_YES : ANSWER_NO;
	while (n > 0 && line[n - 1] != '\n')
		n = read(fd, line, sizeof line);
	return n < 0 || (n == 0 && a == ANSWER_NO) ? ANSWER_NONE : a;
}

static void say(int fd, const char *command)
{
	struct buf b = { 0 };
	struct target t = { .fd = fd };
	buf_fmt(&b, "%s ?...", command);
	(void)write_full(&t, b.s, b.len); /* reading will fail too */
	buf_free(&b);
}

enum answer ask(const struct host *host, const char *command, bool (*go_on)(void *arg), void *arg)
{
	enum answer a = ANSWER_NONE;
	for (int ready = 0; ready == 0;) {
		if (!wait_for_terminal(host, go_on, arg))
			return ANSWER_NONE;
		terminal_take(host);
		say(host->tty_fd, command);
		ready = wait_readable(host, go_on, arg);
		if (ready == 1)
			a = read_answer(host->tty_fd);
		terminal_give(host);
	}
	return a;
}
