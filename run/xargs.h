/* xargs.h - a run of --as-xargs: words of the input become arguments of one command. */
#ifndef RUN_XARGS_H
#define RUN_XARGS_H

#include "run.h"
#include "word-reader.h"

struct xargs {
	char *const *command; /* and its first arguments */
	size_t ncommand;
	struct word_style style;
	const char *file;     /* -a; NULL: standard input */
	const char *replace;  /* -I */
	const char *slot_var;
	int max_args, max_lines; /* 0: no limit */
	int jobs;
	size_t max_chars;     /* 0: the default */
	bool exit_if_long, no_run_if_empty, verbose, interactive, open_tty, show_limits;
};

enum { XARGS_FAILED = 123, XARGS_255 = 124, XARGS_KILLED = 125, XARGS_CANNOT = 126,
       XARGS_NOT_FOUND = 127, XARGS_ERROR = 1 };

/* What an execve() takes at most, less the environment and some room: the limit for -s. */
size_t xargs_most(void);
size_t xargs_default(void); /* without -s: 128 KiB, or less if it must be */
void xargs_show_limits(const struct xargs *x);

void xargs_run(const struct xargs *x, const struct host *host, struct word_reader *in,
               struct outcome *out);

#endif
