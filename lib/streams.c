/* streams.c - a job's standard streams: files it writes into, pipes we read.
 *
 * An exit ends a job, an EOF ends a stream, and neither is inferred from the other. */
#include "fds.h"
#include "local.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PIPE_MAX = 1 << 20 }; /* what a pipe can hold, unless root made it larger */

/* ---- opening ---- */

static int spill(struct stream *st, const char *data, size_t n)
{
	while (n) {
		ssize_t w = pwrite(st->file.fd, data, n, st->spilled);
		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0) {
			data += w;
			n -= (size_t)w;
			st->spilled += w;
		}
	}
	return 0;
}

/* 1: *f has output for the host.  A file that cannot take it ends the stream: the writer
 * gets SIGPIPE, and the result says that bytes were lost. */
static int read_stream(struct prong *p, struct slot *s, struct stream *st, struct fired *f)
{
	struct local *l = pr_local(p);
	size_t want = st->drain >= 0 && st->drain < IO_SIZE ? (size_t)st->drain : IO_SIZE;
	if (st->pipe.fd < 0 || !want)
		return 0;
	ssize_t n;
	do
		n = read(st->pipe.fd, l->io, want);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n > 0 && st->spill)
		st->error = -spill(st, l->io, (size_t)n);
	if (n <= 0 || st->error) {
		pr_ev_end(p->ev, &st->pipe);
		return 0;
	}
	if (st->drain >= 0)
		st->drain -= n;
	if (st->spill)
		return 0;
	*f = (struct fired){ .kind = FIRED_OUTPUT, .slot = s, .stream = (int)(st - s->st),
		             .data = l->io, .len = (size_t)n };
	return 1;
}

static int readable(struct prong *p, struct watch *w, struct fired *f)
{
	struct stream *st = container_of(w, struct stream, pipe);
	return read_stream(p, w->of, st, f);
}

static int open_pipe(struct prong *p, struct slot *s, int i, struct start *start,
                     int *to)
{
	int fd[2];
	struct stream *st = &s->st[i];
	int e = pr_need(&pr_local(p)->io, IO_SIZE);
	if (e == 0)
		e = pr_pipe(fd);
	if (e != 0)
		return e;
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	st->pipe = (struct watch){ .fd = pr_fd_mark(fd[0]), .fire = readable, .of = s };
	st->drain = -1;
	st->spilled = 0;
	st->error = 0;
	*to = start->to_close[i] = pr_fd_mark(fd[1]);
	return pr_ev_watch(p->ev, &st->pipe, PRONG_READ);
}

static int open_file(struct prong *p, struct slot *s, int i, bool own, int *to)
{
	struct vessel *v = &s->st[i].file;
	int e = pr_vessel_get(&pr_local(p)->vessels, v,
	                      own ? O_WRONLY | O_APPEND : 0);
	*to = v->own >= 0 ? v->own : v->fd;
	return e;
}

static int open_stream(struct prong *p, struct slot *s, int i, struct prong_stdio io,
                       struct start *st, int *to)
{
	bool through_pipe = p->opt.flags & PRONG_CAPTURE_PIPE;
	int e = 0;
	*to = -1;
	switch (io.how) {
	case PRONG_NULL:
		*to = pr_local(p)->null;
		break;
	case PRONG_FD:
		*to = io.fd;
		break;
	case PRONG_MERGE:
		st->plan.merge = true;
		break;
	case PRONG_DEFAULT:
	case PRONG_FILE:
		e = open_file(p, s, i, !through_pipe, to);
		if (e != 0 || !through_pipe)
			return e;
		/* fallthrough */
	case PRONG_PIPE:
		s->st[i].spill = io.how != PRONG_PIPE;
		e = open_pipe(p, s, i, st, to);
		break;
	default:
		break;
	}
	return e;
}

/* What a function returns besides its exit code. */
static int open_result(struct prong *p, struct slot *s, struct plan *pl)
{
	struct vessel *v = &s->st[STREAM_RES].file;
	int e = pr_vessel_get(&pr_local(p)->vessels, v, O_RDWR);
	pl->result_fd = v->own >= 0 ? v->own : v->fd;
	return e;
}

int pr_streams_open(struct prong *p, struct slot *s, struct start *st)
{
	const struct prong_spec *spec = &s->job->spec;
	struct plan *pl = &st->plan;
	pl->in = spec->in.how == PRONG_INHERIT ? -1
	         : spec->in.how == PRONG_FD    ? spec->in.fd
	                                       : pr_local(p)->null;
	int e = open_stream(p, s, STREAM_OUT, spec->out, st, &pl->out);
	if (e == 0)
		e = open_stream(p, s, STREAM_ERR, spec->err, st, &pl->err);
	pl->result_fd = -1;
	if (e == 0 && (spec->fn || spec->work) && !p->no_results)
		e = open_result(p, s, pl);
	if (e != 0)
		s->result.step = PRONG_STEP_CAPTURE;
	return e;
}

void pr_streams_given(struct slot *s, struct start *st)
{
	for (int i = 0; i < NSTREAMS; i++) {
		pr_fd_close(&st->to_close[i]);
		pr_vessel_given(&s->st[i].file);
	}
}

/* ---- after the exit ---- */

static struct prong_captured *captured(struct slot *s, int i)
{
	struct prong_result *r = &s->result;
	return i == STREAM_OUT ? &r->out : i == STREAM_ERR ? &r->err : &r->res;
}

void pr_streams_settle(struct prong *p, struct slot *s)
{
	for (int i = 0; i < NSTREAMS; i++) {
		struct vessel *v = &s->st[i].file;
		pr_ev_end(p->ev, &s->st[i].pipe);
		if (v->fd < 0)
			continue;
		v->clean |= s->st[i].spill; /* no child ever saw it */
		captured(s, i)->fd = v->fd;
		int64_t len = pr_vessel_ended(&pr_local(p)->vessels, v);
		captured(s, i)->len = len < 0 ? 0 : len;
		if (len < 0) {
			pr_result_lost(&s->result, (int)-len);
			v->clean = v->owned = false; /* not for another job */
		}
		if (s->st[i].spill && s->st[i].error)
			pr_result_lost(&s->result, s->st[i].error);
	}
}

/* What the job wrote before it ended is in the pipe now; later output is not waited for. */
bool pr_streams_measure(struct slot *s)
{
	bool any = false;
	for (int i = 0; i < NSTREAMS; i++) {
		int n = 0;
		if (s->st[i].pipe.fd < 0)
			continue;
		if (ioctl(s->st[i].pipe.fd, FIONREAD, &n) != 0)
			n = PIPE_MAX; /* or until it is empty */
		s->st[i].drain = n;
		any |= n > 0;
	}
	return any;
}

int pr_streams_drain(struct prong *p, struct slot *s, struct fired *f)
{
	for (struct stream *st = s->st; st < s->st + NSTREAMS; st++)
		while (st->pipe.fd >= 0 && st->drain > 0) {
			int64_t before = st->drain;
			if (read_stream(p, s, st, f))
				return 1;
			if (st->drain == before)
				st->drain = 0; /* somebody else took it */
		}
	return 0;
}

void pr_streams_close(struct prong *p, struct slot *s)
{
	for (int i = 0; i < NSTREAMS; i++) {
		pr_ev_end(p->ev, &s->st[i].pipe);
		pr_vessel_put(&pr_local(p)->vessels, &s->st[i].file, captured(s, i)->len);
	}
}

void pr_streams_abandon(struct prong *p, struct slot *s)
{
	for (int i = 0; i < NSTREAMS; i++)
		s->st[i].file.clean = true; /* never given to anybody */
	pr_streams_close(p, s);
}
