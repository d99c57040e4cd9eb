/* options.c - the parser: options from files, $PARALLEL and argv, then command and values. */
#include "options.h"

#include "buf.h"
#include "defaults.h"
#include "jobs.h"
#include "option-set.h"
#include "pack.h"
#include "perl.h"
#include "pipe.h"
#include "results.h"
#include "resume.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
	struct config *cfg;
	int argc, i;
	char **argv;
};

static bool same(const struct option *a, const struct option *b)
{
	return a->set == b->set && a->at == b->at && a->value == b->value;
}

/* The name at n or behind it, without its end; NULL: there is none. */
static const char *next_name(const char *n, size_t *len)
{
	if (n)
		n += strspn(n, " ");
	*len = n ? strcspn(n, " ") : 0;
	return *len ? n : NULL;
}

/* Exact name, else the only option that begins so; names: where those of two that do are. */
static const struct option *find_long(const char *name, size_t len, const char *names[2])
{
	const struct option *prefix = NULL;
	size_t l;
	names[0] = names[1] = NULL;
	for (int i = 0; i < noptions; i++)
		for (const char *n = options[i].names; (n = next_name(n, &l)); n += l) {
			if (l < len || strncmp(n, name, len) != 0)
				continue;
			if (l == len)
				return names[1] = NULL, &options[i];
			names[prefix && !same(prefix, &options[i])] = n;
			prefix = prefix ? prefix : &options[i];
		}
	return prefix;
}

/* How many letters a and b differ in: changed, missing, one too many, or two in a row exchanged. */
static int distance(const char *a, size_t la, const char *b, size_t lb)
{
	enum { MOST = 40 };
	int d[MOST + 1][MOST + 1];
	if (la > MOST || lb > MOST)
		return MOST;
	for (size_t i = 0; i <= la; i++)
		for (size_t j = 0; j <= lb; j++) {
			if (!i || !j) {
				d[i][j] = (int)(i + j);
				continue;
			}
			int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[la][lb];
}

/* The name that is meant, probably; NULL. */
static const char *near_name(const char *name, size_t len, size_t *found)
{
	const char *near = NULL;
	int best = len < 5 ? 2 : 3; /* not so far away */
	size_t l;
	for (int i = 0; i < noptions; i++)
		for (const char *n = options[i].names; (n = next_name(n, &l)); n += l) {
			int d = distance(name, len, n, l);
			if (d < best) {
				best = d;
				near = n;
				*found = l;
			}
		}
	return near;
}

static const struct option *find_letter(char c)
{
	for (int i = 0; i < noptions; i++)
		if (options[i].letter == c)
			return &options[i];
	return NULL;
}

static int unknown(const char *arg)
{
	bool is_long = arg[1] == '-';
	size_t n = strcspn(arg + 1 + is_long, "="), l;
	const char *near = is_long || n > 2 ? near_name(arg + 1 + is_long, n, &l) : NULL;
	if (near)
		warn("no option '%.*s' in this version; did you mean --%.*s?",
		     (int)(n + 1 + is_long), arg, (int)l, near);
	else
		warn("no option '%s' in this version; see prong --help", arg);
	return -1;
}

static int ambiguous(const char *arg, size_t len, const char *names[2])
{
	warn("'%.*s' can be --%.*s and --%.*s: write more of it", (int)len, arg,
	     (int)strcspn(names[0], " "), names[0], (int)strcspn(names[1], " "), names[1]);
	return -1;
}

static int declined(const struct option *o, const char *dashes, const char *name, size_t len)
{
	warn("there is no %s%.*s: %s", dashes, (int)len, name, o->help);
	return -1;
}

static bool takes_next(const struct parse *p, const struct option *o)
{
	const char *next = p->i + 1 < p->argc ? p->argv[p->i + 1] : NULL;
	if (!next)
		return false;
	return o->arg == ARG_NEEDED || (o->arg == ARG_WORD && *next != '-') ||
	       (o->arg == ARG_NUMBER && isdigit((unsigned char)*next));
}

/* typed: as what it was, with its dashes. */
static int apply(struct parse *p, const struct option *o, const char *value, const char *typed,
                 size_t len)
{
	if (!value && takes_next(p, o))
		value = p->argv[++p->i];
	if (o->arg == ARG_NEEDED && !value) {
		warn("%.*s needs a value", (int)len, typed);
		return -1;
	}
	return o->set(p->cfg, o, value);
}

static int parse_long(struct parse *p, char *arg)
{
	size_t len = strcspn(arg + 2, "=");
	const char *names[2];
	const struct option *o = len ? find_long(arg + 2, len, names) : NULL;
	const char *value = arg[2 + len] ? arg + 3 + len : NULL;
	if (!o)
		return unknown(arg);
	if (names[1])
		return ambiguous(arg, len + 2, names);
	if (o->set == decline)
		return declined(o, "--", arg + 2, len);
	if (value && o->arg == ARG_NONE) {
		warn("%.*s takes no value", (int)len + 2, arg);
		return -1;
	}
	return apply(p, o, value, arg, len + 2);
}

static int parse_letters(struct parse *p, char *arg)
{
	for (char *c = arg + 1; *c; c++) {
		const struct option *o = find_letter(*c);
		if (!o)
			return unknown(arg);
		if (o->set == decline)
			return declined(o, "-", c, 1);
		if (o->arg != ARG_NONE)
			return apply(p, o, c[1] ? c + 1 : NULL, (char[]){ '-', *c }, 2);
		int e = apply(p, o, NULL, "", 0);
		if (e != 0)
			return e;
	}
	return 0;
}

/* Up to the first word that is no option. */
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

/* ---- what is left: the command and the sources ---- */

static bool matches(const char *arg, const char *sep, bool *linked)
{
	size_t n = strlen(sep);
	if (strncmp(arg, sep, n) != 0 || (arg[n] && strcmp(arg + n, "+") != 0))
		return false;
	*linked = arg[n] == '+';
	return true;
}

/* ":::" and its three relatives, or what --arg-sep and --arg-file-sep made of them. */
static bool separator(const struct config *cfg, const char *arg, enum input_kind *kind,
                      bool *linked)
{
	*kind = INPUT_FILE;
	if (matches(arg, cfg->file_sep, linked))
		return true;
	*kind = INPUT_ARGS;
	return matches(arg, cfg->arg_sep, linked);
}

static void parse_words(struct config *cfg, struct words *w)
{
	enum input_kind kind = INPUT_ARGS, k;
	bool linked = false, plus, in_sources = false;
	struct input_spec *source = NULL;
	cfg->command = w->v;
	for (size_t i = 0; i < w->n; i++) {
		if (separator(cfg, w->v[i], &k, &plus)) {
			kind = k;
			linked = plus;
			in_sources = true;
			w->v[i] = NULL; /* ends the command's words */
			source = kind == INPUT_ARGS ? add_input(cfg, kind, linked) : NULL;
			if (source)
				source->values = w->v + i + 1;
		} else if (!in_sources) {
			cfg->ncommand++;
		} else if (source) {
			source->nvalues++;
		} else {
			add_input(cfg, INPUT_FILE, linked)->path = w->v[i];
		}
	}
}

/* ---- all of it ---- */

static struct config fresh(void)
{
	return (struct config){ .delim = "\n", .delim_len = 1, .retries = 1, .max_args = -1,
		                .max_lines = -1, .arg_sep = ":::", .file_sep = "::::" };
}

/* Options of a file or $PARALLEL; words that are none are put before the command. */
static int parse_defaults(struct config *cfg, const struct words *from, struct words *command)
{
	struct parse p = { .cfg = cfg, .argc = (int)from->n, .argv = from->v };
	int e = parse_options(&p);
	for (; e == 0 && p.i < p.argc; p.i++)
		words_add(command, p.argv[p.i]);
	if (e == 0 && (cfg->nprofiles || cfg->plain)) { /* what is read is decided by then */
		warn("--profile and --plain count in the command line only, not in $PARALLEL or a file");
		return -1;
	}
	return e;
}

/* One job with no value at all; its status becomes ours. */
static int be_semaphore(struct config *cfg)
{
	static char *nothing[] = { "" };
	cfg->semaphore |= cfg->sem_wait && !cfg->ncommand && !cfg->sql;
	if (!cfg->semaphore)
		return 0;
	if (!cfg->ncommand != cfg->sem_wait) {
		warn(cfg->ncommand ? "--wait waits for what --semaphore has started: it takes no command"
		                   : "--semaphore needs a command to run, or --wait");
		return -1;
	}
	if (cfg->ninputs)
		warn("--semaphore runs one command and reads no values: those after ':::' or of -a are"
		     " left out");
	cfg->ninputs = 0;
	struct input_spec *in = add_input(cfg, INPUT_ARGS, false);
	in->values = nothing;
	in->nvalues = 1;
	cfg->max_args = 0;
	cfg->max_lines = -1;
	cfg->pack = PACK_ONE;
	cfg->pipe = cfg->pipe_part = cfg->no_run_if_empty = cfg->header = cfg->skip_first = cfg->csv = false;
	cfg->colsep = cfg->eof_str = NULL;
	cfg->halt = (struct halt){ .when = HALT_NOW, .why = HALT_FAIL, .limit.n = 1 };
	if (cfg->summary == WHEN_AUTO)
		cfg->summary = WHEN_NEVER; /* the status says it */
	return 0;
}

/* What makes sense only with --pipe means it. */
static void imply_pipe(struct config *cfg)
{
	if (cfg->round_robin || cfg->tee || cfg->cat || cfg->fifo || cfg->bin || cfg->shard ||
	    cfg->group_by || cfg->pipe_part)
		cfg->pipe = true;
}

static int check(const struct config *cfg)
{
	if (cfg->tty && cfg->output_given && cfg->output != OUTPUT_UNGROUP) {
		warn("--tty gives each job the terminal: --group and --line-buffer do not go with it");
		return -1;
	}
	if (cfg->compress && cfg->output == OUTPUT_LINE && cfg->results) {
		warn("--compress does not go with --line-buffer --results: those files are written as "
		     "lines come");
		return -1;
	}
	if (cfg->sql && (cfg->pipe || cfg->results || cfg->resume)) {
		warn("--sqlmaster and --sqlworker go with neither --pipe nor --results nor --resume");
		return -1;
	}
	if (cfg->cleanup && !cfg->ntemplates) {
		warn("--cleanup goes with --template; jobs run on this machine, no files are sent");
		return -1;
	}
	if (cfg->files && results_kind(cfg) > RESULTS_FILES) {
		warn("--files goes with a --results directory only");
		return -1;
	}
	if (jobs_parse(cfg->jobs, 1 << 20) < 0)
		return jobs_count(cfg), -1;
	if (pipe_wanted(cfg))
		return pipe_check(cfg);
	return 0;
}

static void show_limits(const struct config *cfg)
{
	printf("Maximal size of command: %d\nMaximal usable size of command: %d\n\n"
	       "Execution will continue now, and it will try to read its input\n"
	       "and run commands; if this is not what you wanted to happen, please\n"
	       "press CTRL-D or CTRL-C\n",
	       LINE_MAX_DEFAULT, cfg->max_chars ? cfg->max_chars : LINE_MAX_DEFAULT);
	fflush(stdout);
}

/* --plain and --profile decide what else is read: they are looked for first. */
static int find_profile(struct config *cfg, int argc, char **argv)
{
	struct parse p = { .cfg = cfg, .argc = argc, .argv = argv, .i = 1 };
	*cfg = fresh();
	int e = parse_options(&p);
	free(cfg->inputs);
	cfg->inputs = NULL;
	return e;
}

/* The command has other names, which are links to it. */
static bool called_as(const char *argv0, const char *name)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
	return argv0 && !strcmp(slash ? slash + 1 : argv0, name);
}

/* --sqlworker: nothing is read. */
static void values_from_table(struct config *cfg)
{
	static char *const none[] = { NULL };
	cfg->inputs = xrealloc(cfg->inputs, sizeof *cfg->inputs);
	*cfg->inputs = (struct input_spec){ .kind = INPUT_ARGS, .values = none };
	cfg->ninputs = 1;
	cfg->header = false;
}

int options_parse(struct config *cfg, int argc, char **argv)
{
	static struct config first;
	static struct words *defaults, command; /* the configuration points into them */
	size_t ndefaults = 0;
	command.n = 0;
	int e = shebang_expand(&argc, &argv);
	if (e == 0)
		e = find_profile(&first, argc, argv);
	if (e == 0 && !first.plain)
		e = defaults_read(first.profiles, first.nprofiles, &defaults, &ndefaults);
	*cfg = fresh();
	for (size_t i = 0; e == 0 && i < ndefaults; i++)
		e = parse_defaults(cfg, &defaults[i], &command);
	struct parse p = { .cfg = cfg, .argc = argc, .argv = argv, .i = 1 };
	cfg->semaphore = called_as(argv[0], "prong-sem");
	if (e == 0)
		e = parse_options(&p);
	if (e != 0)
		return e > 0 ? 0 : 255;
	for (; p.i < argc; p.i++)
		words_add(&command, argv[p.i]);
	words_add(&command, NULL);
	command.n--;
	parse_words(cfg, &command);
	imply_pipe(cfg);
	if (be_semaphore(cfg) != 0 || check(cfg) != 0)
		return 255;
	if (resume_prepare(cfg) != 0)
		return 255;
	if (cfg->show_limits)
		show_limits(cfg);
	if (cfg->tty)
		cfg->output = OUTPUT_UNGROUP;
	cfg->perl = perl_new();
	if (cfg->max_lines >= 0 && cfg->pack == PACK_ONE)
		cfg->repeat = true; /* -L implies -X */
	if (!pipe_wanted(cfg) && cfg->header_is && !strcmp(cfg->header_is, "0")) {
		cfg->header = false;
		cfg->header_files = true;
	}
	if (cfg->sql_worker && !cfg->sql_master)
		values_from_table(cfg);
	if ((results_kind(cfg) > RESULTS_FILES || cfg->sql) && !cfg->tty)
		cfg->output = OUTPUT_GROUP; /* records are made of whole outputs */
	if (cfg->latest && cfg->output == OUTPUT_GROUP && results_kind(cfg) <= RESULTS_FILES)
		cfg->output = OUTPUT_LINE;
	cfg->latest &= cfg->output == OUTPUT_LINE && !cfg->files;
	if (cfg->files && cfg->output == OUTPUT_LINE)
		cfg->output = OUTPUT_GROUP; /* there is nothing to print but a name */
	return -1;
}
