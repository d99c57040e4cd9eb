/* options.c - the table of options, its parser, --help.  Writes struct config only. */
#include "options.h"

#include "buf.h"
#include "jobs.h"

#include <errno.h>
#include <math.h>
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct config, field)

enum arg { NONE, NEEDED, MAYBE };
struct parse {
	struct config *cfg;
	int argc, i;
	char **argv;
};
struct option {
	const char *names; /* long names, blank between; the first is the real one */
	char letter;
	enum arg arg;
	/* 0, or -1 after a message; value is NULL without one */
	int (*set)(struct parse *p, const struct option *o, const char *value);
	size_t at;
	int value;
	const char *help;
};

static int bad(const struct option *o, const char *value, const char *mend)
{
	warn("--%.*s: '%s' is not understood; %s", (int)strcspn(o->names, " "), o->names,
	     value, mend);
	return -1;
}

static int set_bool(struct parse *p, const struct option *o, const char *value)
{
	(void)value;
	*(bool *)((char *)p->cfg + o->at) = o->value;
	return 0;
}

static int set_string(struct parse *p, const struct option *o, const char *value)
{
	*(const char **)((char *)p->cfg + o->at) = value ? value : "{}";
	return 0;
}

static int set_nothing(struct parse *p, const struct option *o, const char *value)
{
	(void)p, (void)o, (void)value;
	return 0;
}

static int set_number(struct parse *p, const struct option *o, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);
	if (end == value || *end || n < o->value || n > 1000000000)
		return bad(o, value, "a whole number is needed");
	*(int *)((char *)p->cfg + o->at) = (int)n;
	return 0;
}

/* 90, 1.5m, 1d2h30m: seconds; -1 if it is none. */
static double duration(const char *s)
{
	static const struct { char unit; double seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 },
	};
	double sum = 0;
	char *end;
	if (!*s)
		return -1;
	while (*s) {
		double n = strtod(s, &end), unit = 0;
		if (end == s || n < 0 || !isfinite(n))
			return -1;
		for (size_t i = 0; i < sizeof units / sizeof *units; i++)
			if (*end == units[i].unit)
				unit = units[i].seconds;
		if (*end && unit == 0)
			return -1;
		sum += n * (*end ? unit : 1);
		s = *end ? end + 1 : end;
	}
	return sum;
}

static int set_delay(struct parse *p, const struct option *o, const char *value)
{
	p->cfg->delay = duration(value);
	return p->cfg->delay < 0 ? bad(o, value, "write seconds, or 1.5m, 2h, 1d") : 0;
}

static bool amount(const char *s, struct amount *a)
{
	char *end;
	a->n = strtod(s, &end);
	a->percent = *end == '%';
	return end != s && a->n >= 0 && !end[a->percent];
}

static int set_timeout(struct parse *p, const struct option *o, const char *value)
{
	struct amount *a = &p->cfg->timeout;
	if (strchr(value, '%') && amount(value, a))
		return 0;
	*a = (struct amount){ .n = duration(value) };
	return a->n < 0 ? bad(o, value, "write seconds, 1.5m, 2h, or a percentage") : 0;
}

static bool halt_long(const char *s, struct halt *h)
{
	static const char *const whys[] = { "fail=", "success=", "done=" };
	h->when = !strncmp(s, "soon,", 5) ? HALT_SOON : HALT_NOW;
	if (h->when == HALT_NOW && strncmp(s, "now,", 4) != 0)
		return false;
	s = strchr(s, ',') + 1;
	for (int i = 0; i < 3; i++)
		if (!strncmp(s, whys[i], strlen(whys[i]))) {
			h->why = (enum halt_why)i;
			return amount(s + strlen(whys[i]), &h->limit) && h->limit.n > 0;
		}
	return false;
}

static int set_halt(struct parse *p, const struct option *o, const char *value)
{
	static const struct { const char *old, *is; } olds[] = {
		{ "1", "soon,fail=1" }, { "2", "now,fail=1" },
		{ "-1", "soon,success=1" }, { "-2", "now,success=1" },
	};
	struct halt *h = &p->cfg->halt;
	*h = (struct halt){ .when = HALT_NEVER };
	if (!strcmp(value, "never") || !strcmp(value, "0"))
		return 0;
	for (size_t i = 0; i < sizeof olds / sizeof *olds; i++)
		if (!strcmp(value, olds[i].old))
			value = olds[i].is;
	if (halt_long(value, h))
		return 0;
	*h = (struct halt){ .when = HALT_SOON, .why = HALT_FAIL };
	if (amount(value, &h->limit) && h->limit.percent && h->limit.n > 0)
		return 0;
	return bad(o, value, "write never, or soon|now,fail|success|done=N or N%");
}

static int set_delim(struct parse *p, const struct option *o, const char *value)
{
	static const char letters[] = "ntr0abfv", bytes[] = "\n\t\r\0\a\b\f\v";
	char *end;
	if (*value && !value[1]) {
		p->cfg->delim = (unsigned char)*value;
		return 0;
	}
	const char *l = *value == '\\' && !value[2] ? strchr(letters, value[1]) : NULL;
	if (value[0] == '\\' && value[1] == '\\' && !value[2])
		p->cfg->delim = '\\';
	else if (l && *l)
		p->cfg->delim = (unsigned char)bytes[l - letters];
	else if (!strncmp(value, "\\x", 2) && value[2])
		p->cfg->delim = (int)strtol(value + 2, &end, 16) & 255;
	else
		return bad(o, value, "one byte is needed: a character, \\n \\t \\0 or \\xHH");
	return 0;
}

static int set_null(struct parse *p, const struct option *o, const char *value)
{
	(void)o, (void)value;
	p->cfg->delim = 0;
	return 0;
}

static int set_repl(struct parse *p, const struct option *o, const char *value)
{
	p->cfg->repl_changed = true;
	return set_string(p, o, value);
}

static int set_output(struct parse *p, const struct option *o, const char *value)
{
	static int given = -1;
	(void)value;
	if (given >= 0 && given != o->value && (given == OUTPUT_GROUP || o->value == OUTPUT_GROUP)) {
		warn("--group goes with neither --ungroup nor --line-buffer; choose one");
		return -1;
	}
	p->cfg->output = (enum output_mode)(given = o->value);
	return 0;
}

static int set_summary(struct parse *p, const struct option *o, const char *value)
{
	(void)value;
	p->cfg->summary = (enum when)o->value;
	return 0;
}

static int set_capture(struct parse *p, const struct option *o, const char *value)
{
	p->cfg->capture = value;
	return !strcmp(value, "pipe") || !strcmp(value, "file") ? 0 : bad(o, value, "write file or pipe");
}

static struct input_spec *add_input(struct config *cfg, enum input_kind kind, bool linked)
{
	cfg->inputs = xrealloc(cfg->inputs, (cfg->ninputs + 1) * sizeof *cfg->inputs);
	cfg->inputs[cfg->ninputs] = (struct input_spec){ .kind = kind, .linked = linked };
	return &cfg->inputs[cfg->ninputs++];
}

static int set_file(struct parse *p, const struct option *o, const char *value)
{
	(void)o;
	add_input(p->cfg, INPUT_FILE, false)->path = value;
	return 0;
}

static int print_help(struct parse *p, const struct option *o, const char *value);

static int print_cpus(struct parse *p, const struct option *o, const char *value)
{
	(void)p, (void)o, (void)value;
	printf("%d\n", cpus_usable());
	return 1;
}

static int print_version(struct parse *p, const struct option *o, const char *value)
{
	(void)p, (void)o, (void)value;
	unsigned v = prong_version();
	printf("prong %u.%u.%u\n", v >> 16, v >> 8 & 255, v & 255);
	return 1;
}

static const struct option options[] = {
	{ "jobs max-procs", 'j', NEEDED, set_string, AT(jobs), 0,
	  "N, N%, +N, -N, 0 (as many as possible) or a FILE: jobs at once; default: usable CPUs" },
	{ "max-procs", 'P', NEEDED, set_string, AT(jobs), 0, "the same as -j" },
	{ "arg-file", 'a', NEEDED, set_file, 0, 0, "FILE: read input from it ('-': stdin)" },
	{ "null", '0', NONE, set_null, 0, 0, "input records end with a NUL byte" },
	{ "delimiter", 'd', NEEDED, set_delim, 0, 0, "C: input records end with this byte" },
	{ "eof", 'E', NEEDED, set_string, AT(eof_str), 0, "STR: input ends at this record" },
	{ "no-run-if-empty", 'r', NONE, set_bool, AT(no_run_if_empty), 1, "skip empty records" },
	{ "link xapply", 0, NONE, set_bool, AT(link), 1, "take one value of each source together" },
	{ "replacement", 'I', NEEDED, set_repl, AT(repl), 0, "STR: use STR instead of {}" },
	{ "replace", 'i', MAYBE, set_repl, AT(repl), 0, "[STR]: the same, {} if not given" },
	{ "quote", 'q', NONE, set_bool, AT(quote), 1, "keep the command's words as they are" },
	{ "delay", 0, NEEDED, set_delay, 0, 0, "TIME: wait between two starts" },
	{ "timeout", 0, NEEDED, set_timeout, 0, 0, "TIME or N% of the median: end longer jobs" },
	{ "retries", 0, NEEDED, set_number, AT(retries), 0, "N: try a failing job N times; 0: for ever" },
	{ "halt halt-on-error", 0, NEEDED, set_halt, 0, 0,
	  "never, or soon|now,fail|success|done=N or N%: when to stop early" },
	{ "termseq term-seq", 0, NEEDED, set_string, AT(termseq), 0,
	  "SIG,MS,...: how jobs are ended (TERM,200,TERM,100,TERM,50,KILL,25)" },
	{ "nice", 0, NEEDED, set_number, AT(nice), -40, "N: added to the jobs' nice value" },
	{ "workdir wd", 0, NEEDED, set_string, AT(workdir), 0, "DIR: where jobs run; may hold {}; ...: one each" },
	{ "env", 0, NEEDED, set_nothing, 0, 0, "NAME: pass it on (jobs here get the whole environment)" },
	{ "tty", 0, NONE, set_bool, AT(tty), 1, "one job at a time, each with the terminal" },
	{ "sweep", 0, NONE, set_bool, AT(sweep), 1, "end what a job leaves in the background" },
	{ "capture", 0, NEEDED, set_capture, 0, 0, "file or pipe: how output is collected" },
	{ "tmpdir", 0, NEEDED, set_string, AT(tmpdir), 0, "DIR: where output waits; default $TMPDIR, /tmp" },
	{ "keep-order keeporder", 'k', NONE, set_bool, AT(keep_order), 1, "output in the order of input" },
	{ "group", 0, NONE, set_output, 0, OUTPUT_GROUP, "a job's output in one piece (default)" },
	{ "ungroup", 'u', NONE, set_output, 0, OUTPUT_UNGROUP, "jobs write directly" },
	{ "line-buffer linebuffer lb", 0, NONE, set_output, 0, OUTPUT_LINE, "whole lines, at once" },
	{ "tag", 0, NONE, set_bool, AT(tag), 1, "the values and a tab before each line" },
	{ "tagstring tag-string", 0, NEEDED, set_string, AT(tagstring), 0, "STR: this before each line" },
	{ "verbose", 't', NONE, set_bool, AT(verbose), 1, "each command on stderr" },
	{ "show-command", 'v', NONE, set_bool, AT(verbose_stdout), 1, "each command on stdout" },
	{ "dry-run dryrun", 0, NONE, set_bool, AT(dry_run), 1, "print the commands, run nothing" },
	{ "joblog jl", 0, NEEDED, set_string, AT(joblog), 0, "FILE: one line per finished job; +FILE appends" },
	{ "summary", 0, NONE, set_summary, 0, WHEN_ALWAYS, "say at the end what failed and how" },
	{ "no-summary", 0, NONE, set_summary, 0, WHEN_NEVER, "do not" },
	{ "bar", 0, NONE, set_bool, AT(bar), 1, "a progress bar on stderr" },
	{ "progress", 0, NONE, set_bool, AT(progress), 1, "a status line on stderr" },
	{ "eta", 0, NONE, set_bool, AT(eta), 1, "the same, with the time left" },
	{ "will-cite no-notice gnu", 0, NONE, set_nothing, 0, 0, "nothing to do: there is no citation notice" },
	{ "sweep-orphans", 0, NONE, set_bool, AT(sweep_orphans), 1, "kill leftovers of runs that are gone, and exit" },
	{ "number-of-cpus number-of-cores number-of-threads", 0, NONE, print_cpus, 0, 0, "print usable CPUs" },
	{ "version", 'V', NONE, print_version, 0, 0, "print the version" },
	{ "help", 'h', NONE, print_help, 0, 0, "print this" },
};
enum { NOPTIONS = sizeof options / sizeof *options };

static int print_help(struct parse *p, const struct option *o, const char *value)
{
	(void)p, (void)o, (void)value;
	printf("usage: prong [options] [command [words]] [::: values | :::: files]...\n"
	       "Run the command once per input record, several at a time. In the command: {} the\n"
	       "value, {.} no extension, {/} last component, {//} directory, {/.} both, {#} job\n"
	       "number, {%%} job slot, {N} {N.} ... the N-th source.\n\n");
	for (int i = 0; i < NOPTIONS; i++) {
		char left[64];
		snprintf(left, sizeof left, "%c%c --%.*s", options[i].letter ? '-' : ' ',
		         options[i].letter ? options[i].letter : ' ',
		         (int)strcspn(options[i].names, " "), options[i].names);
		printf("  %-22s %s\n", left, options[i].help);
	}
	return 1;
}

/* Exact name, else the only option that begins so. */
static const struct option *find_long(const char *name, size_t len)
{
	const struct option *prefix = NULL;
	bool several = false;
	for (int i = 0; i < NOPTIONS; i++)
		for (const char *n = options[i].names; *n; n += strcspn(n, " "), n += *n == ' ') {
			size_t l = strcspn(n, " ");
			if (l == len && !strncmp(n, name, len))
				return &options[i];
			if (l > len && !strncmp(n, name, len)) {
				several |= prefix && prefix->set != options[i].set;
				prefix = &options[i];
			}
		}
	return several ? NULL : prefix;
}

static const struct option *find_letter(char c)
{
	for (int i = 0; i < NOPTIONS; i++)
		if (options[i].letter == c)
			return &options[i];
	return NULL;
}

static int unknown(const char *arg)
{
	warn("no option '%s' in this version; see prong --help", arg);
	return -1;
}

static int apply(struct parse *p, const struct option *o, const char *value)
{
	if (o->arg == NEEDED && !value && p->i + 1 < p->argc)
		value = p->argv[++p->i];
	if (o->arg == NEEDED && !value) {
		warn("--%.*s needs a value", (int)strcspn(o->names, " "), o->names);
		return -1;
	}
	return o->set(p, o, value);
}

static int parse_long(struct parse *p, char *arg)
{
	size_t len = strcspn(arg + 2, "=");
	const struct option *o = find_long(arg + 2, len);
	const char *value = arg[2 + len] ? arg + 3 + len : NULL;
	if (!o || !len)
		return unknown(arg);
	if (value && o->arg == NONE) {
		warn("%.*s takes no value", (int)len + 2, arg);
		return -1;
	}
	return apply(p, o, value);
}

static int parse_letters(struct parse *p, char *arg)
{
	for (char *c = arg + 1; *c; c++) {
		const struct option *o = find_letter(*c);
		if (!o)
			return unknown(arg);
		if (o->arg == NONE) {
			int e = apply(p, o, NULL);
			if (e != 0)
				return e;
			continue;
		}
		return apply(p, o, c[1] ? c + 1 : NULL);
	}
	return 0;
}

static int parse_options(struct parse *p)
{
	int e = 0;
	for (; e == 0 && p->i < p->argc; p->i++) {
		char *arg = p->argv[p->i];
		if (!strcmp(arg, "--")) {
			p->i++;
			break;
		}
		if (*arg != '-' || !arg[1])
			break;
		e = arg[1] == '-' ? parse_long(p, arg) : parse_letters(p, arg);
	}
	return e;
}

/* ":::" and its three relatives. */
static bool separator(const char *arg, enum input_kind *kind, bool *linked)
{
	size_t n = strspn(arg, ":");
	*linked = arg[n] == '+';
	*kind = n == 3 ? INPUT_ARGS : INPUT_FILE;
	return (n == 3 || n == 4) && !arg[n + *linked];
}

static void parse_words(struct config *cfg, int argc, char **argv)
{
	enum input_kind kind = INPUT_ARGS, k;
	bool linked = false, plus, in_sources = false;
	struct input_spec *source = NULL;
	cfg->command = argv;
	for (int i = 0; i < argc; i++) {
		if (separator(argv[i], &k, &plus)) {
			kind = k;
			linked = plus;
			in_sources = true;
			argv[i] = NULL; /* ends the command's words */
			source = kind == INPUT_ARGS ? add_input(cfg, kind, linked) : NULL;
			if (source)
				source->values = argv + i + 1;
		} else if (!in_sources) {
			cfg->ncommand++;
		} else if (source) {
			source->nvalues++;
		} else {
			add_input(cfg, INPUT_FILE, linked)->path = argv[i];
		}
	}
}

int options_parse(struct config *cfg, int argc, char **argv)
{
	struct parse p = { .cfg = cfg, .argc = argc, .argv = argv, .i = 1 };
	*cfg = (struct config){ .delim = '\n', .retries = 1, .timeout = { 0, false } };
	const char *defaults = getenv("PARALLEL");
	if (defaults && *defaults)
		warn("$PARALLEL is not read in this version; give the options on the command line");
	int e = parse_options(&p);
	if (e != 0)
		return e > 0 ? 0 : 255;
	parse_words(cfg, argc - p.i, argv + p.i);
	if (cfg->tty)
		cfg->output = OUTPUT_UNGROUP;
	if (jobs_parse(cfg->jobs, 1) < 0)
		return jobs_count(cfg), 255;
	return -1;
}
