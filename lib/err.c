/* err.c - names: errors, steps, signals, the version.  Pure tables. */
#include "pool.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *prong_strerror(int err)
{
	const char *s = strerrordesc_np(err < 0 ? -err : err);
	return s ? s : "unknown error";
}

static const char *const step_names[] = {
	[PRONG_STEP_NONE] = "none",     [PRONG_STEP_CAPTURE] = "capture",
	[PRONG_STEP_FORK] = "fork",     [PRONG_STEP_GROUP] = "process group",
	[PRONG_STEP_STDIN] = "stdin",   [PRONG_STEP_STDOUT] = "stdout",
	[PRONG_STEP_STDERR] = "stderr", [PRONG_STEP_CHDIR] = "chdir",
	[PRONG_STEP_NICE] = "nice",     [PRONG_STEP_TTY] = "terminal",
	[PRONG_STEP_EXEC] = "exec",
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
	for (int i = 1; i < NSIG; i++) {
		const char *abbrev = sigabbrev_np(i);
		if (abbrev && strlen(abbrev) == len && !strncasecmp(abbrev, name, len))
			return i;
	}
	return -EINVAL;
}
