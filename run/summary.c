/* summary.c - remembers how jobs failed and says it at the end; judges nothing. */
#include "progress.h"
#include "copy.h"
#include "screen.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 10, KINDS = 8, COLUMNS = 80 };

struct kind {
	char *text;
	uint64_t n;
};

struct failure {
	uint64_t seq;
	char *how, *command, *line;
};

struct summary {
	uint64_t failed;
	bool knows_oom;
	struct kind kinds[KINDS]; /* the last one: all that found no room */
	size_t nkinds;
	struct failure kept[KEPT];
	size_t nkept;
};

struct summary *summary_new(void)
{
	struct summary *s = xrealloc(NULL, sizeof *s);
	memset(s, 0, sizeof *s);
	s->knows_oom = oom_count() >= 0;
	return s;
}

void summary_free(struct summary *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nkinds; i++)
		free(s->kinds[i].text);
	for (size_t i = 0; i < s->nkept; i++) {
		free(s->kept[i].how);
		free(s->kept[i].command);
		free(s->kept[i].line);
	}
	free(s);
}

/* ---- words ---- */

static const char *killer(const struct summary *s, const struct prong_result *r, bool oom)
{
	if (r->sent && r->sent == r->status)
		return ", sent by prong";
	if (oom && r->status == SIGKILL)
		return ", out of memory";
	if (r->status != SIGKILL)
		return "";
	return s->knows_oom ? ", sent by someone else"
	                    : ", sent by someone else, perhaps the kernel for lack of memory";
}

static void describe_signal(struct buf *b, const struct summary *s,
                            const struct prong_result *r, bool oom)
{
	const char *name = prong_signal_name(r->status);
	buf_fmt(b, "killed by signal %d (", r->status);
	if (name)
		buf_fmt(b, "SIG%s", name);
	else
		buf_fmt(b, "SIGRTMIN%+d", r->status - SIGRTMIN);
	buf_fmt(b, "%s%s)", killer(s, r, oom), r->core ? ", core dumped" : "");
}

static void describe(struct buf *b, const struct summary *s, const struct prong_result *r,
                     bool oom)
{
	switch (r->how) {
	case PRONG_EXITED:
		buf_fmt(b, "exit %d", r->status);
		break;
	case PRONG_SIGNALED:
		describe_signal(b, s, r, oom);
		break;
	case PRONG_TIMEDOUT:
		buf_str(b, "timed out");
		break;
	case PRONG_CANCELLED:
		buf_str(b, "cancelled");
		break;
	case PRONG_NOTSTARTED:
		buf_fmt(b, "could not start: %s: %s", prong_step_name(r->step),
		        prong_strerror(r->status));
		break;
	default:
		if (r->status)
			buf_fmt(b, "its output could not be kept: %s", prong_strerror(r->status));
		else
			buf_str(b, "lost: somebody else took its exit status");
	}
}

/* ---- remembering ---- */

static void count(struct summary *s, const char *how)
{
	size_t i = 0;
	while (i < s->nkinds && i < KINDS - 1 && strcmp(s->kinds[i].text, how) != 0)
		i++;
	if (i == s->nkinds) {
		s->kinds[i].text = xstrdup(i < KINDS - 1 ? how : "in other ways");
		s->nkinds++;
	}
	s->kinds[i].n++;
}

static char *short_text(const char *text)
{
	struct buf b = { 0 };
	buf_clear(&b);
	screen_cut(&b, text, COLUMNS);
	return b.s;
}

void summary_add(struct summary *s, uint64_t seq, const char *command,
                 const struct prong_result *r, bool oom, const char *last_err)
{
	struct buf how = { 0 };
	describe(&how, s, r, oom);
	s->failed++;
	count(s, how.s);
	if (s->nkept == KEPT) {
		buf_free(&how);
		return;
	}
	s->kept[s->nkept++] = (struct failure){
		.seq = seq, .how = how.s, .command = short_text(command),
		.line = last_err ? short_text(last_err) : NULL,
	};
}

/* ---- saying ---- */

static int by_count(const void *a, const void *b)
{
	const struct kind *x = a, *y = b;
	return (x->n < y->n) - (x->n > y->n);
}

static void add_kinds(struct buf *b, struct summary *s)
{
	size_t named = s->nkinds < KINDS ? s->nkinds : (size_t)KINDS - 1;
	qsort(s->kinds, named, sizeof *s->kinds, by_count);
	for (size_t i = 0; i < s->nkinds; i++)
		buf_fmt(b, "%s %" PRIu64 " %s", i ? "," : ":", s->kinds[i].n, s->kinds[i].text);
	buf_chr(b, '\n');
}

void summary_print(struct summary *s, int fd, uint64_t jobs_done)
{
	struct buf b = { 0 };
	struct target t = { .fd = fd };
	if (s->failed == 0)
		return;
	buf_fmt(&b, "prong: %" PRIu64 " of %" PRIu64 " job%s failed", s->failed, jobs_done,
	        jobs_done == 1 ? "" : "s");
	add_kinds(&b, s);
	for (size_t i = 0; i < s->nkept; i++) {
		const struct failure *f = &s->kept[i];
		buf_fmt(&b, "  job %" PRIu64 ": %s: %s", f->seq, f->how, f->command);
		buf_fmt(&b, "%s%s\n", f->line ? ": " : "", f->line ? f->line : "");
	}
	if (s->failed > s->nkept)
		buf_fmt(&b, "  and %" PRIu64 " more\n", s->failed - s->nkept);
	(void)write_full(&t, b.s, b.len); /* nobody left to tell if it fails */
	buf_free(&b);
}
