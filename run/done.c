/* done.c - what ended: try again, log, print, count, remember for the summary. */
#include "run-impl.h"

#include "copy.h"
#include "dirs.h"
#include "pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { FREE_BLOCKS_MIN = 16 }; /* fewer: a write of a job may just have failed */

static bool wants_retry(const struct run *r, const struct task *t, const struct prong_result *res)
{
	if (r->no_more || job_status(res) == 0)
		return false;
	if (res->how == PRONG_CANCELLED) /* for --memfree: as often as --retries says, if it does */
		return t->evicted && (r->cfg->retries <= 1 || t->tries < r->cfg->retries);
	return r->cfg->retries == 0 || t->tries < r->cfg->retries;
}

/* Ask the disk: where there is little, what it counts as free may be kept for others (the
 * reserve of ext4, what is promised to other files). */
static bool takes_more(const char *dir, const struct statfs *st)
{
	static const char nothing[4096];
	struct target to = { .fd = dirs_unnamed(dir) };
	int e = to.fd < 0 ? to.fd : 0;
	if (e != 0 && e != -ENOSPC && e != -EDQUOT)
		return st->f_bfree >= FREE_BLOCKS_MIN;
	for (int i = 0; i < FREE_BLOCKS_MIN && e == 0; i++)
		e = write_full(&to, nothing, sizeof nothing);
	if (to.fd >= 0)
		close(to.fd);
	return e == 0;
}

/* A write that failed for lack of room left no trace but this. */
static void judge_room(struct run *r, const char *dir, const struct statfs *st)
{
	if (st->f_blocks == 0 || st->f_bavail >= FREE_BLOCKS_MIN || takes_more(dir, st))
		return;
	run_fail(r, "no room left where job output is kept: output may be cut short;"
	        " free some, or name another place with --tmpdir");
}

static void judge_room_of(struct run *r, const struct task *t, const struct statfs *st)
{
	const char *path = t->kept ? t->kept->path[0] : NULL, *slash = path ? strrchr(path, '/') : NULL;
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	judge_room(r, dir ? dir : path ? "." : tmpdir_of(r->cfg), st);
	free(dir);
}

/* What was free a moment ago is not written full in less time than memory would take. */
static void check_room(struct run *r, const struct task *t, const struct prong_result *res,
                       const struct prong_captured *c)
{
	const double looks = 0.01, bytes_per_second = 1e11;
	struct statfs st;
	double now = timing_now();
	r->room_unseen = now < r->room_until && !t->kept && job_status(res) == 0;
	if (c->fd < 0 || r->room_unseen || fstatfs(c->fd, &st) != 0)
		return;
	double lasts = (double)st.f_bavail * (double)st.f_bsize / bytes_per_second;
	r->room_until = t->kept ? 0 : now + (lasts < looks ? lasts : looks);
	judge_room_of(r, t, &st);
}

void done_check_room_at_last(struct run *r)
{
	struct statfs st;
	if (r->room_unseen && statfs(tmpdir_of(r->cfg), &st) == 0)
		judge_room(r, tmpdir_of(r->cfg), &st);
}

static void last_line(const struct prong_captured *c, char *buf, size_t size)
{
	size_t want = size - 1;
	int64_t at = c->len > (int64_t)want ? c->len - (int64_t)want : 0;
	ssize_t n = c->fd >= 0 ? pread(c->fd, buf, want, at) : 0;
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		n--;
	buf[n > 0 ? n : 0] = '\0';
	char *nl = strrchr(buf, '\n');
	if (nl)
		memmove(buf, nl + 1, strlen(nl));
}

static void note_failure(struct run *r, struct task *t, const struct prong_result *res,
                         const struct prong_captured *err)
{
	char line[512];
	int64_t oom = res->how == PRONG_SIGNALED ? oom_count() : r->oom;
	last_line(err, line, sizeof line);
	summary_add(r->summary, t->seq, builder_command(&r->b, t), res, oom > r->oom,
	            *line ? line : NULL);
	r->oom = oom;
}

/* What the job wrote, as far as it is in a file. */
static void captured(const struct task *t, const struct prong_result *res,
                     struct prong_captured c[2])
{
	struct stat st;
	c[0] = res->out;
	c[1] = res->err;
	for (int i = 0; i < 2 && t->kept; i++)
		if (t->kept->fd[i] >= 0 && fstat(t->kept->fd[i], &st) == 0)
			c[i] = (struct prong_captured){ t->kept->fd[i], st.st_size };
}

void done_keep(struct run *r, struct task *t, const struct prong_event *ev)
{
	struct target to = { .fd = t->kept ? t->kept->fd[ev->stream - 1] : -1 };
	int e = to.fd >= 0 ? write_full(&to, ev->data, ev->len) : 0;
	if (e == 0)
		return;
	errno = -e;
	warn("cannot write '%s':", t->kept->path[ev->stream - 1]);
	run_fail(r, NULL);
}

/* ---- --compress ---- */

void done_squeeze(struct run *r, struct task *t, const struct prong_event *ev)
{
	struct squeezed **z = &t->squeezed[ev->stream - 1];
	if (!*z)
		*z = squeezed_new(t->kept ? t->kept->fd[ev->stream - 1] : -1);
	if (squeeze_add(r->squeezer, *z, ev->data, ev->len) != 0)
		run_fail(r, NULL);
}

void done_squeezed_free(struct run *r, struct task *t)
{
	for (int i = 0; i < 2; i++) {
		squeezed_free(r->squeezer, t->squeezed[i]);
		t->squeezed[i] = NULL;
	}
}

/* The programs have all of it now. */
static void squeezed_end(struct run *r, struct task *t)
{
	for (int i = 0; i < 2; i++)
		if (t->squeezed[i] && squeeze_end(r->squeezer, t->squeezed[i]) != 0)
			run_fail(r, NULL);
}

static void squeezed_output(const struct task *t, struct output *o)
{
	for (int i = 0; i < 2; i++) {
		const struct squeezed *z = t->squeezed[i];
		if (!z || z->into >= 0)
			continue;
		o->fd[i] = z->fd;
		o->packed[i] = z->fd >= 0;
		o->mem[i] = z->mem.s;
		o->len[i] = z->fd >= 0 ? z->len : (int64_t)z->mem.len;
	}
}

/* ---- printing ---- */

static void latest_output(struct run *r, const struct task *t, struct output *o)
{
	const char *line;
	size_t len;
	if (latest_end(r->latest, t->nth, t->tag, &line, &len) != 0)
		run_fail(r, "cannot write to the terminal");
	o->mem[0] = line;
	o->len[0] = (int64_t)len;
	o->fd[0] = -1;
}

/* Not what is in files that stay; --files: the name of one. */
static void print_output(struct run *r, struct task *t, const struct prong_result *res)
{
	bool kept = t->kept && r->cfg->output != OUTPUT_LINE, in_tree = kept && !r->cfg->files;
	struct output o = { .seq = t->nth, .tag = t->tag, .failed = job_status(res) != 0,
		            .fd = { kept ? -1 : res->out.fd, res->err.fd },
		            .len = { res->out.len, res->err.len } };
	char *head = NULL;
	if (kept && r->cfg->files && !t->kept->listed)
		o.head = t->kept->path[0];
	else if (r->cfg->verbose_stdout && r->cfg->output != OUTPUT_LINE && !in_tree)
		o.head = head = xstrdup(builder_command(&r->b, t));
	squeezed_output(t, &o);
	run_hide_progress(r);
	if (r->latest)
		latest_output(r, t, &o);
	run_check_sink(r, sink_done(r->sink, &o));
	free(head);
}

/* The stream as it was before --compress: a file, which the caller closes. */
static void plain_stream(struct run *r, const struct squeezed *z, struct record_stream *s)
{
	if (z && squeeze_plain(r->squeezer, z, &s->fd, &s->len) != 0)
		run_fail(r, NULL);
}

static int record_into_table(struct run *r, const struct record *rec)
{
	struct output o = { .seq = rec->task->nth, .fd = { -1, -1 } };
	int e = table_record(r->table, rec, &o.mem[0], &o.fd[0], &o.len[0]);
	if (e != 0)
		warn("job %llu: cannot be written into '%s': %s",
		     (unsigned long long)rec->task->seq, r->cfg->results, prong_strerror(e));
	run_check_sink(r, sink_done(r->sink, &o));
	return e;
}

static int record_into_database(struct run *r, const struct record *rec)
{
	return r->cfg->sql ? database_done(r->db, rec) : database_add(r->db, rec);
}

/* The job as a record of a table or database. */
static void record_job(struct run *r, struct task *t, const struct prong_result *res,
                       int (*into)(struct run *r, const struct record *rec))
{
	const char *command = builder_command(&r->b, t);
	struct record rec = {
		.task = t, .result = res, .command = command, .send = pipe_sent(t),
		.receive = r->squeezer ? t->sent[0] : res->out.len,
		.stream = { { .head = r->cfg->verbose_stdout ? command : NULL, .tag = t->tag,
		              .fd = res->out.fd, .len = res->out.len },
		            { .tag = t->tag, .fd = res->err.fd, .len = res->err.len } },
	};
	for (int i = 0; i < 2; i++)
		plain_stream(r, t->squeezed[i], &rec.stream[i]);
	if (into(r, &rec) != 0)
		run_fail(r, NULL);
	for (int i = 0; i < 2; i++)
		if (t->squeezed[i] && rec.stream[i].fd >= 0)
			close(rec.stream[i].fd);
}

/* A job that we ended ourselves has no record. */
static void give_output(struct run *r, struct task *t, const struct prong_result *res)
{
	struct output none = { .seq = t->nth, .fd = { -1, -1 } };
	bool recorded = res->how != PRONG_CANCELLED || !r->ended;
	if (recorded && r->table)
		record_job(r, t, res, record_into_table);
	if (recorded && r->db)
		record_job(r, t, res, record_into_database);
	if (!r->table && (!r->db || r->cfg->sql))
		print_output(r, t, res);
	else if (!recorded || !r->table)
		run_check_sink(r, sink_done(r->sink, &none));
}

static void not_started(struct run *r, struct task *t, const struct prong_result *res)
{
	run_make_way(r);
	if (res->status == E2BIG)
		warn("job %llu: cannot start: its arguments and the environment are longer than the"
		     " system takes (%ld bytes in all, 131071 for one); 'ulimit -s' may raise the first",
		     (unsigned long long)t->seq, sysconf(_SC_ARG_MAX));
	else
		warn("job %llu: cannot start: %s: %s", (unsigned long long)t->seq,
		     prong_step_name(res->step), prong_strerror(res->status));
}

/* What nobody reads in the output: a job was ended, or the run ends early.  The summary names the
 * first too. */
static void notice(struct run *r, struct task *t, const struct prong_result *res, bool halts)
{
	const struct config *cfg = r->cfg;
	bool timeout = res->how == PRONG_TIMEDOUT && !run_wants_summary(r);
	if (cfg->summary == WHEN_NEVER || cfg->semaphore || r->signal || (!halts && !timeout))
		return; /* a semaphore's one job speaks for itself */
	run_make_way(r);
	const char *command = builder_command(&r->b, t);
	unsigned long long seq = t->seq;
	if (halts)
		warn("--halt: job %llu %s, %s: %.400s", seq, job_status(res) ? "failed" : "succeeded",
		     cfg->halt.when == HALT_NOW ? "ending the run" : "starting no more jobs", command);
	else
		warn("job %llu ended because of --timeout: %.400s", seq, command);
}

static void count(struct run *r, struct task *t, const struct prong_result *res,
                  const struct prong_captured *err)
{
	if (res->how == PRONG_CANCELLED && r->ended)
		return; /* our doing, not the job's */
	r->finished++;
	if (job_status(res) != 0 && !r->signal)
		note_failure(r, t, res, err);
	bool halts = tally_add(&r->tally, res);
	notice(r, t, res, halts);
	if (halts) {
		if (r->cfg->halt.when == HALT_NOW)
			run_end_all(r);
		r->no_more = true;
	}
}

/* Direct exec failed: the shell gives the same failure its own words and status. */
static bool by_shell_instead(struct run *r, struct task *t, const struct prong_result *res)
{
	if (res->how != PRONG_NOTSTARTED || res->step != PRONG_STEP_EXEC || !r->b.direct ||
	    t->by_shell || r->ended)
		return false;
	t->by_shell = true;
	task_del(&r->running, t);
	if (r->pipe && pipe_start(r, t) != 0)
		return false;
	t->id = builder_submit(&r->b, r->pool, t);
	if (t->id < 0)
		return false;
	task_add(&r->running, t);
	return true;
}

static void log_job(struct run *r, struct task *t, const struct prong_result *res,
                    int64_t received)
{
	if (!strcmp(r->cfg->joblog, "-"))
		run_check_sink(r, sink_flush(r->sink));
	if (joblog_add(r->log, t->seq, builder_command(&r->b, t), res, pipe_sent(t), received) < 0)
		run_fail(r, "--joblog: cannot write: the job log is incomplete");
}

/* It has ended by itself: written down, so that --resume does not run it again. */
static void record(struct run *r, struct task *t, const struct prong_result *res,
                   int64_t received)
{
	if (r->log && res->pid)
		log_job(r, t, res, received);
	if (t->kept && results_end(t) != 0)
		run_fail(r, NULL);
}

static void try_again(struct run *r, struct task *t)
{
	run_end_lines(r, t);
	t->by_shell = t->evicted = t->suspended = t->timed_out = false;
	free(t->tag);
	t->tag = NULL;
	done_squeezed_free(r, t);
	t->sent[0] = t->sent[1] = 0;
	task_push(&r->again, t);
}

static void ended(struct run *r, struct task *t, const struct prong_result *res)
{
	struct prong_captured c[2];
	task_del(&r->running, t);
	t->tries++;
	if (r->cfg->delay_auto)
		r->delay *= job_status(res) ? 1.3 : 0.9;
	squeezed_end(r, t);
	captured(t, res, c);
	check_room(r, t, res, &c[0]);
	if (wants_retry(r, t, res) && pipe_again(t)) {
		try_again(r, t);
		return;
	}
	if (r->fill && r->cfg->cleanup)
		fill_remove(r->fill, &r->b, t);
	if (r->cfg->timeout.percent && job_status(res) == 0)
		median_add(&r->times, timing_now() - t->started);
	if (res->how == PRONG_NOTSTARTED)
		not_started(r, t, res);
	if (r->pipe)
		pipe_check_end(r, t);
	bool ours = res->how == PRONG_CANCELLED && r->ended; /* our doing, not the job's */
	if (!ours)
		record(r, t, res, c[0].fd >= 0 ? c[0].len : t->sent[0]);
	give_output(r, t, res);
	if (c[0].len > 0) /* before its file is emptied: others may be out of room now */
		check_room(r, t, res, &c[0]);
	count(r, t, res, &c[1]);
	done_squeezed_free(r, t);
	if (ours)
		feed_give_up(r, t);
	else
		task_free(t);
}

void done_job(struct run *r, struct task *t, const struct prong_result *res)
{
	struct prong_result late = *res;
	if (by_shell_instead(r, t, res))
		return;
	if (t->timed_out && res->how == PRONG_CANCELLED)
		late.how = PRONG_TIMEDOUT; /* the pool knows no percentages */
	ended(r, t, &late);
}
