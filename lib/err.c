/* err.c - names: errors, steps, signals, the version.  Pure tables. */
#include "pool.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *prong_strerror(int err)
{
#ifdef HAVE_STRERRORDESC_NP
	const char *s = strerrordesc_np(err < 0 && err != INT_MIN ? -err : err);
#else
	const char *s = strerror(err < 0 && err != INT_MIN ? -err : err);
#endif
	return s ? s : "unknown error";
}

/* libcs differ in which of these they have, and in how they tell their names. */
static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "HUP", SIGHUP },     { "INT", SIGINT },       { "QUIT", SIGQUIT }, { "ILL", SIGILL },
	{ "TRAP", SIGTRAP },   { "ABRT", SIGABRT },     { "BUS", SIGBUS },   { "FPE", SIGFPE },
	{ "KILL", SIGKILL },   { "USR1", SIGUSR1 },     { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE },   { "ALRM", SIGALRM },     { "TERM", SIGTERM }, { "CHLD", SIGCHLD },
	{ "CONT", SIGCONT },   { "STOP", SIGSTOP },     { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN },
	{ "TTOU", SIGTTOU },   { "URG", SIGURG },       { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF },   { "SYS", SIGSYS },
#ifdef SIGWINCH
	{ "WINCH", SIGWINCH },
#endif
#ifdef SIGPOLL
	{ "POLL", SIGPOLL },   { "IO", SIGPOLL },
#endif
#ifdef SIGPWR
	{ "PWR", SIGPWR },
#endif
#ifdef SIGSTKFLT
	{ "STKFLT", SIGSTKFLT },
#endif
#ifdef SIGINFO
	{ "INFO", SIGINFO },
#endif
#ifdef SIGEMT
	{ "EMT", SIGEMT },
#endif
	{ "IOT", SIGABRT },    { "CLD", SIGCHLD },
};

const char *prong_signal_name(int sig)
{
	for (size_t i = 0; i < countof(signals); i++)
		if (signals[i].number == sig)
			return signals[i].name;
	return NULL;
}

static const char *const step_names[] = {
	[PRONG_STEP_NONE] = "none",     [PRONG_STEP_CAPTURE] = "capture",
	[PRONG_STEP_FORK] = "fork",     [PRONG_STEP_GROUP] = "process group",
	[PRONG_STEP_STDIN] = "stdin",   [PRONG_STEP_STDOUT] = "stdout",
	[PRONG_STEP_STDERR] = "stderr", [PRONG_STEP_CHDIR] = "chdir",
	[PRONG_STEP_NICE] = "nice",     [PRONG_STEP_TTY] = "terminal",
	[PRONG_STEP_EXEC] = "exec",     [PRONG_STEP_INIT] = "worker_init",
};

const char *prong_step_name(int step)
{
	return step >= 0 && (size_t)step < countof(step_names) ? step_names[step] : "unknown";
}

unsigned prong_version(void)
{
	return PRONG_VERSION;
}

static int parse_number(const char *s, size_t len)
{
	int n = 0;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)s[i]) || n > 1000)
			return -EINVAL;
		n = n * 10 + (s[i] - '0');
	}
	return n < NSIG ? n : -EINVAL;
}

int pr_signal_number(const char *name, size_t len)
{
	if (len > 3 && !strncasecmp(name, "SIG", 3))
		name += 3, len -= 3;
	if (!len)
		return -EINVAL;
	if (isdigit((unsigned char)*name))
		return parse_number(name, len);
	for (size_t i = 0; i < countof(signals); i++)
		if (strlen(signals[i].name) == len && !strncasecmp(signals[i].name, name, len))
			return signals[i].number;
	return -EINVAL;
}
