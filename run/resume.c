/* resume.c - reads a job log: --resume, --resume-failed, --retry-failed.
 *
 * Of several lines for one number the last one counts.  A last line without its newline was
 * being written when the run was killed: its number and status count if they are whole, its
 * command never. */
#include "resume.h"

#include "buf.h"
#include "joblog.h"
#include "results.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line of the log. */
struct row {
	uint64_t seq, line;
	int64_t at;  /* of its command, in the file */
	bool failed;
};

struct resume {
	struct row *v; /* by number, each once */
	size_t n, cap;
	char **commands; /* --retry-failed: of v */
};

/* ---- lines ---- */

static void add(struct resume *r, const struct row *row)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 256;
		r->v = xrealloc(r->v, r->cap * sizeof *r->v);
	}
	r->v[r->n++] = *row;
}

static bool is_header(const char *line)
{
	return !strncmp(line, "Seq\tHost\t", 9);
}

/* One line into the list; a torn one is passed over.  -1 after warn(). */
static int take_line(struct resume *r, const struct config *cfg, const char *path, char *line,
                     size_t len, struct row *row)
{
	struct joblog_row parsed;
	bool torn = line[len - 1] != '\n', retry = cfg->resume == RESUME_RETRY;
	len -= !torn;
	if (is_header(line))
		return 0;
	if (!joblog_line(line, len, &parsed)) {
		if (torn && joblog_begins(line, len))
			return 0;
		warn("'%s' is no job log: line %llu is not '1 TAB host TAB ... TAB command'", path,
		     (unsigned long long)row->line);
		return -1;
	}
	if (torn && retry) {
		warn("the job log '%s' was cut off in its last line: job %llu is left out", path,
		     (unsigned long long)parsed.seq);
		return 0;
	}
	row->seq = parsed.seq;
	row->failed = parsed.failed;
	row->at += (int64_t)parsed.command;
	add(r, row);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

/* The last line of each number; of those, the ones that cfg->resume asks for. */
static void settle(struct resume *r, const struct config *cfg)
{
	size_t n = 0;
	if (r->n)
		qsort(r->v, r->n, sizeof *r->v, by_number);
	for (size_t i = 0; i < r->n; i++) {
		bool last = i + 1 == r->n || r->v[i + 1].seq != r->v[i].seq;
		bool wanted = cfg->resume == RESUME_MISSING ||
		              r->v[i].failed == (cfg->resume == RESUME_RETRY);
		if (last && wanted)
			r->v[n++] = r->v[i];
	}
	r->n = n;
}

static int read_log(struct resume *r, const struct config *cfg, const char *path, FILE *f)
{
	struct row row = { .at = 0 };
	char *line = NULL;
	size_t cap = 0;
	int64_t at = 0;
	int e = 0;
	for (ssize_t n; e == 0 && (n = getline(&line, &cap, f)) > 0; at += n) {
		row.line++;
		row.at = at;
		e = take_line(r, cfg, path, line, (size_t)n, &row);
	}
	if (e == 0 && ferror(f)) {
		warn("cannot read the job log '%s':", path);
		e = -1;
	}
	free(line);
	return e;
}

bool resume_done(const struct resume *r, uint64_t seq)
{
	size_t low = 0, high = r && !r->commands ? r->n : 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (r->v[mid].seq == seq)
			return true;
		if (r->v[mid].seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* ---- --retry-failed ---- */

uint64_t resume_number(const struct resume *r, uint64_t n)
{
	return r && r->commands ? r->v[n - 1].seq : n;
}

/* The log has NULs where the command had newlines. */
static char *command_at(FILE *f, int64_t at)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = fseeko(f, (off_t)at, SEEK_SET) == 0 ? getline(&line, &cap, f) : -1;
	if (n <= 0) {
		free(line);
		return xstrdup("");
	}
	line[--n] = '\0';
	for (ssize_t i = 0; i < n; i++)
		line[i] = line[i] ? line[i] : '\n';
	return line;
}

static void load_commands(struct resume *r, FILE *f)
{
	r->commands = xrealloc(NULL, (r->n + 1) * sizeof *r->commands);
	for (size_t i = 0; i < r->n; i++)
		r->commands[i] = command_at(f, r->v[i].at);
}

/* What stood on the command line is not looked at: the log's commands are the input. */
static void be_the_input(struct config *cfg, const struct resume *r)
{
	static char *const nothing[] = { NULL };
	cfg->inputs = xrealloc(cfg->inputs, sizeof *cfg->inputs);
	*cfg->inputs = (struct input_spec){ .kind = INPUT_ARGS, .values = r->commands,
		                            .nvalues = r->n };
	cfg->ninputs = 1;
	cfg->command = nothing;
	cfg->ncommand = 0;
	cfg->delim = "";
	cfg->delim_len = 1;
	cfg->colsep = cfg->eof_str = NULL;
	cfg->csv = cfg->header = cfg->skip_first = cfg->no_run_if_empty = cfg->quote = false;
	cfg->repeat = cfg->plus = cfg->link = cfg->shuf = false;
	cfg->trim = TRIM_NONE;
	cfg->pack = PACK_ONE;
	cfg->max_args = cfg->max_lines = -1;
}

/* ---- all of it ---- */

static int usable(const struct config *cfg)
{
	static const char *const names[] = { "", "resume", "resume-failed", "retry-failed" };
	const char *name = names[cfg->resume];
	if (cfg->resume == RESUME_RETRY && cfg->pipe) {
		warn("--retry-failed runs the commands of the log, which have no block of --pipe: "
		     "use --resume-failed with the same input");
		return -1;
	}
	if (cfg->joblog && cfg->resume != RESUME_RETRY && cfg->shuf && !cfg->seed) {
		warn("--%s needs the numbers that the jobs had: give --shuf the same --seed in "
		     "every run", name);
		return -1;
	}
	if (cfg->joblog && strcmp(cfg->joblog, "-") != 0)
		return 0;
	if (!cfg->joblog && cfg->resume == RESUME_MISSING && results_kind(cfg) == RESULTS_FILES &&
	    cfg->results)
		return 0;
	warn("--%s needs --joblog FILE%s", name,
	     cfg->resume == RESUME_MISSING ? " or --results DIR" : "");
	return -1;
}

int resume_prepare(struct config *cfg)
{
	struct resume *r;
	if (cfg->resume == RESUME_NO)
		return 0;
	if (usable(cfg) != 0)
		return -1;
	if (!cfg->joblog)
		return 0;
	const char *path = cfg->joblog + (*cfg->joblog == '+');
	FILE *f = fopen(path, "re");
	if (!f && (errno != ENOENT || cfg->resume == RESUME_RETRY)) {
		warn("cannot read the job log '%s':", path);
		return -1;
	}
	cfg->resumed = r = xrealloc(NULL, sizeof *r);
	*r = (struct resume){ 0 };
	int e = f ? read_log(r, cfg, path, f) : 0;
	settle(r, cfg);
	if (e == 0 && cfg->resume == RESUME_RETRY) {
		load_commands(r, f);
		be_the_input(cfg, r);
	}
	if (f)
		fclose(f);
	return e;
}
