/* xargs.c - the options of xargs: parser and help from one table. */
#include "xargs.h"

#include "buf.h"
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <prong.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parse {
	struct xargs *x;
	const char *arg_option; /* -n, -L or -I, whichever was last */
};

struct choice {
	int letter;        /* above 255: none */
	const char *name;
	int arg;           /* no_argument ... */
	int (*set)(struct parse *p, const struct choice *c, const char *value);
	size_t at;         /* of a bool */
	const char *meta, *help;
};

static int bad(const char *fmt, const char *value, const char *mend)
{
	warn("%s: '%s' is not understood; %s", fmt, value, mend);
	return XARGS_ERROR;
}

static int set_flag(struct parse *p, const struct choice *c, const char *value)
{
	(void)value;
	*(bool *)((char *)p->x + c->at) = true;
	return -1;
}

/* -n, -L and -I exclude each other; the last one counts. */
static void only(struct parse *p, const char *option)
{
	struct xargs *x = p->x;
	if (p->arg_option && strcmp(p->arg_option, option) != 0)
		warn("%s and %s exclude each other: the latter counts", p->arg_option, option);
	p->arg_option = option;
	x->max_args = x->max_lines = 0;
	x->replace = NULL;
	x->style.lines = false;
}

static long number(const char *value, long least)
{
	char *end;
	errno = 0;
	long n = strtol(value, &end, 10);
	return *value && !*end && !errno && n >= least ? n : -1;
}

static int set_max_args(struct parse *p, const struct choice *c, const char *value)
{
	long n = number(value, 1);
	(void)c;
	if (n < 0)
		return bad("-n", value, "write how many arguments a command may get, 1 or more");
	if (n == 1 && p->x->replace)
		return -1; /* -I takes one anyway */
	only(p, "-n");
	p->x->max_args = n > INT_MAX ? INT_MAX : (int)n;
	return -1;
}

static int set_max_lines(struct parse *p, const struct choice *c, const char *value)
{
	long n = value ? number(value, 1) : 1;
	(void)c;
	if (n < 0)
		return bad("-L", value, "write how many lines a command may get, 1 or more");
	only(p, "-L");
	p->x->max_lines = n > INT_MAX ? INT_MAX : (int)n;
	p->x->exit_if_long = true;
	return -1;
}

static int set_replace(struct parse *p, const struct choice *c, const char *value)
{
	(void)c;
	if (p->x->max_args == 1)
		p->arg_option = NULL;
	only(p, "-I");
	p->x->replace = value ? value : "{}";
	p->x->style.lines = true;
	p->x->exit_if_long = true;
	return -1;
}

static int set_jobs(struct parse *p, const struct choice *c, const char *value)
{
	(void)c;
	if (number(value, 0) < 0)
		return bad("-P", value, "write how many commands may run at once; 0: as many as can be");
	p->x->jobs = jobs_parse(value, 1);
	return -1;
}

static int set_chars(struct parse *p, const struct choice *c, const char *value)
{
	long n = number(value, LONG_MIN + 1);
	size_t most = xargs_most();
	(void)c;
	if (n == -1 && strcmp(value, "-1") != 0)
		return bad("-s", value, "write how many bytes long a command may be");
	if (n < 1)
		warn("-s: %ld is too little; 1 is used", n);
	else if ((size_t)n > most)
		warn("-s: %ld is more than the system takes; %zu is used", n, most);
	p->x->max_chars = n < 1 ? 1 : (size_t)n > most ? most : (size_t)n;
	return -1;
}

static int set_eof(struct parse *p, const struct choice *c, const char *value)
{
	(void)c;
	p->x->style.eof = value && *value ? value : NULL;
	return -1;
}

static int set_null(struct parse *p, const struct choice *c, const char *value)
{
	(void)c, (void)value;
	p->x->style.delim = 0;
	return -1;
}

/* One byte, or an escape for one: \n \t ... \0NNN \xHH. */
static int escape(const char *s)
{
	static const char letters[] = "abfnrtv\\0", bytes[] = "\a\b\f\n\r\t\v\\";
	char *end;
	const char *l = strchr(letters, s[1]);
	long n;
	if (s[1] && !s[2] && l)
		return (unsigned char)bytes[l - letters];
	if (s[1] == 'x')
		n = strtol(s + 2, &end, 16);
	else if (s[1] >= '0' && s[1] <= '7')
		n = strtol(s + 1, &end, 8);
	else
		return -1;
	return *end || end == s + 2 - (s[1] != 'x') || n < 0 || n > 255 ? -1 : (int)n;
}

static int set_delim(struct parse *p, const struct choice *c, const char *value)
{
	int delim = value[0] && !value[1] ? (unsigned char)*value : *value == '\\' ? escape(value) : -1;
	(void)c;
	if (delim < 0)
		return bad("-d", value, "write one byte, or an escape for one: , \\n \\t \\0 \\x1e");
	p->x->style.delim = delim;
	return -1;
}

static int set_file(struct parse *p, const struct choice *c, const char *value)
{
	(void)c;
	p->x->file = strcmp(value, "-") ? value : NULL;
	return -1;
}

static int set_slot_var(struct parse *p, const struct choice *c, const char *value)
{
	(void)c;
	if (!*value || strchr(value, '='))
		return bad("--process-slot-var", value, "write the name of a variable");
	p->x->slot_var = value;
	return -1;
}

static int print_help(struct parse *p, const struct choice *c, const char *value);

static int print_version(struct parse *p, const struct choice *c, const char *value)
{
	unsigned v = prong_version();
	(void)p, (void)c, (void)value;
	printf("prong-xargs (prong) %u.%u.%u\n", v >> 16, v >> 8 & 255, v & 255);
	return 0;
}

#define FLAG(field) set_flag, offsetof(struct xargs, field)
enum { LONG_ONLY = 256 };
static const struct choice choices[] = {
	{ '0', "null", no_argument, set_null, 0, NULL, "words end with a NUL byte; quotes are not special" },
	{ 'a', "arg-file", required_argument, set_file, 0, "FILE", "read words from FILE; commands keep standard input" },
	{ 'd', "delimiter", required_argument, set_delim, 0, "CHAR", "words end with CHAR; quotes are not special" },
	{ 'E', NULL, required_argument, set_eof, 0, "STR", "the input ends at the word STR" },
	{ 'e', "eof", optional_argument, set_eof, 0, "STR", "the same; nothing ends it if STR is missing" },
	{ 'I', NULL, required_argument, set_replace, 0, "STR", "one command for each line, which replaces STR in its arguments" },
	{ 'i', "replace", optional_argument, set_replace, 0, "STR", "the same; {} if STR is missing" },
	{ 'L', "max-lines", required_argument, set_max_lines, 0, "N", "at most N lines for one command" },
	{ 'l', NULL, optional_argument, set_max_lines, 0, "N", "the same; 1 if N is missing" },
	{ 'n', "max-args", required_argument, set_max_args, 0, "N", "at most N words for one command" },
	{ 'o', "open-tty", no_argument, FLAG(open_tty), NULL, "commands get the terminal as standard input" },
	{ 'P', "max-procs", required_argument, set_jobs, 0, "N", "N commands at once; 0: as many as can be; default 1" },
	{ 'p', "interactive", no_argument, FLAG(interactive), NULL, "ask before each command" },
	{ LONG_ONLY, "process-slot-var", required_argument, set_slot_var, 0, "NAME", "commands see in $NAME which of the N they are, from 0" },
	{ 'r', "no-run-if-empty", no_argument, FLAG(no_run_if_empty), NULL, "run nothing if there is no word" },
	{ 's', "max-chars", required_argument, set_chars, 0, "N", "a command is at most N bytes long" },
	{ LONG_ONLY, "show-limits", no_argument, FLAG(show_limits), NULL, "say how long commands may be, and go on" },
	{ 't', "verbose", no_argument, FLAG(verbose), NULL, "each command on standard error when it starts" },
	{ 'x', "exit", no_argument, FLAG(exit_if_long), NULL, "end if -n or -L words do not fit into one command" },
	{ LONG_ONLY, "help", no_argument, print_help, 0, NULL, "print this" },
	{ LONG_ONLY, "version", no_argument, print_version, 0, NULL, "print the version" },
};
enum { NCHOICES = sizeof choices / sizeof *choices };

static int print_help(struct parse *p, const struct choice *c, const char *value)
{
	(void)p, (void)c, (void)value;
	printf("usage: prong-xargs [options] [command [arguments]]\n"
	       "The words of standard input become further arguments of the command (echo).\n\n");
	for (size_t i = 0; i < NCHOICES; i++) {
		char left[64];
		c = &choices[i];
		int n = c->letter < LONG_ONLY ? snprintf(left, sizeof left, "-%c%s", c->letter, c->name ? ", " : "")
		                              : snprintf(left, sizeof left, "    ");
		if (c->name)
			n += snprintf(left + n, sizeof left - (size_t)n, "--%s", c->name);
		if (c->meta)
			snprintf(left + n, sizeof left - (size_t)n, c->arg == optional_argument ? "[=%s]" : " %s", c->meta);
		printf("  %-28s %s\n", left, c->help);
	}
	return 0;
}

/* ---- for getopt ---- */

static void make_tables(char *letters, struct option *names)
{
	*letters++ = '+'; /* up to the first word that is no option */
	for (int i = 0; i < NCHOICES; i++) {
		const struct choice *c = &choices[i];
		if (c->letter < LONG_ONLY) {
			*letters++ = (char)c->letter;
			for (int k = 0; k < c->arg; k++)
				*letters++ = ':';
		}
		*names = (struct option){ c->name, c->arg, NULL, LONG_ONLY + i };
		if (c->name)
			names++;
		/* as there, --max-lines may stand without a number */
		if (c->letter == 'L')
			names[-1].has_arg = optional_argument;
	}
	*letters = '\0';
	*names = (struct option){ 0 };
}

static const struct choice *chosen(int got)
{
	if (got >= LONG_ONLY)
		return &choices[got - LONG_ONLY];
	for (int i = 0; i < NCHOICES; i++)
		if (choices[i].letter == got)
			return &choices[i];
	return NULL;
}

bool xargs_called(int *argc, char ***argv)
{
	const char *slash = strrchr((*argv)[0], '/'), *name = slash ? slash + 1 : (*argv)[0];
	if (!strcmp(name, "prong-xargs"))
		return true;
	if (*argc < 2 || strcmp((*argv)[1], "--as-xargs") != 0)
		return false;
	(*argv)[1] = (*argv)[0];
	++*argv;
	--*argc;
	return true;
}

int xargs_parse(struct xargs *x, int argc, char **argv)
{
	static char *echo[] = { "echo", NULL };
	char letters[3 * NCHOICES + 2];
	struct option names[NCHOICES + 1];
	struct parse p = { .x = x };
	int got;
	*x = (struct xargs){ .jobs = 1, .style = { .delim = -1 } };
	make_tables(letters, names);
	while ((got = getopt_long(argc, argv, letters, names, NULL)) != -1) {
		const struct choice *c = chosen(got);
		int e = c ? c->set(&p, c, optarg) : XARGS_ERROR;
		if (!c)
			warn("see prong-xargs --help for the options there are");
		if (e >= 0)
			return e;
	}
	if (x->replace)
		x->max_args = 1;
	if (x->style.eof && x->style.delim >= 0)
		warn("-E and -e mean nothing with -0 and -d");
	x->command = optind < argc ? argv + optind : echo;
	x->ncommand = optind < argc ? (size_t)(argc - optind) : 1;
	return -1;
}

struct word_reader *xargs_open(const struct xargs *x)
{
	if (!x->file)
		return word_new(STDIN_FILENO, "standard input", &x->style);
	int fd = open(x->file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return word_new(fd, x->file, &x->style);
	warn("cannot open the input file '%s':", x->file);
	return NULL;
}
