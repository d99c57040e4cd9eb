/* sink.c - prints finished jobs, in their order if asked; never starts or judges them. */
#include "sink-impl.h"

#include "copy.h"
#include "dirs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink *sink_new(const struct config *cfg, int out_fd, int err_fd)
{
	struct sink *s = xrealloc(NULL, sizeof *s);
	memset(s, 0, sizeof *s);
	outbuf_init(&s->out, out_fd, err_fd);
	order_init(&s->order);
	s->spool = spool_new(tmpdir_of(cfg));
	s->scratch = -1;
	s->ungroup = cfg->output == OUTPUT_UNGROUP;
	s->keep = cfg->keep_order && !s->ungroup;
	s->colored = cfg->color && !s->ungroup;
	s->color_failed = cfg->color_failed && cfg->output == OUTPUT_GROUP;
	return s;
}

void sink_free(struct sink *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (s->live[i])
			live_free(s, s->live[i]);
	outbuf_free(&s->out);
	order_free(&s->order);
	spool_free(s->spool);
	if (s->scratch >= 0)
		close(s->scratch);
	buf_free(&s->tag);
	free(s);
}

/* Only what can keep us waiting for long needs patience. */
void sink_be_patient(struct sink *s, const struct sink_patience *p)
{
	struct stat st;
	s->patience = *p;
	for (size_t i = 0; i < 2; i++)
		if (fstat(s->out.to[i].fd, &st) == 0 && !S_ISREG(st.st_mode))
			s->out.to[i].patience = &s->patience;
}

void sink_name(struct sink *s, const char *name)
{
	s->name = name;
}

struct color sink_color(const struct sink *s, uint64_t seq, bool failed)
{
	if (s->color_failed && failed)
		return color_of_failure();
	return s->colored ? color_of_job(seq) : (struct color){ .on = "" };
}

void sink_unpack(struct sink *s, const struct sink_expander *x)
{
	s->expander = *x;
}

/* ---- errors ---- */

const char *sink_error(const struct sink *s)
{
	return s->error;
}

static void describe(struct sink *s, int e, bool held)
{
	bool full = e == -ENOSPC || e == -EDQUOT;
	if (e == -ENODATA)
		snprintf(s->error, sizeof s->error,
		         "output of a job was cut short by somebody while it was read");
	else if (held)
		snprintf(s->error, sizeof s->error, "cannot hold output in %s: %s%s",
		         spool_dir(s->spool), strerror(-e), full ? "; use --tmpdir" : "");
	else if (s->name && !s->out.bad)
		snprintf(s->error, sizeof s->error, "cannot write '%s': %s", s->name, strerror(-e));
	else
		snprintf(s->error, sizeof s->error, "cannot write to standard %s: %s",
		         s->out.bad ? "error" : "output", strerror(-e));
}

int sink_fail(struct sink *s, int e, bool held)
{
	if (e != 0 && s->failed == 0) {
		describe(s, e, held);
		s->failed = e;
	}
	return e;
}

/* ---- printing ---- */

bool sink_holds(const struct sink *s, uint64_t seq)
{
	return s->keep && seq > s->order.next;
}

int sink_hold_tag(struct sink *s, struct chain *c, const char *tag, struct color color)
{
	int e = *color.on ? spool_add(s->spool, c, PIECE_COLOR, &color, sizeof color) : 0;
	return e ? e : tag ? spool_add(s->spool, c, PIECE_TAG, tag, strlen(tag) + 1) : 0;
}

/* Where unpacked bytes go. */
struct unpacked {
	struct sink *s;
	int stream, e;
	struct tagger *t;
};

static int give_unpacked(void *to, const char *p, size_t n)
{
	struct unpacked *u = to;
	return u->e = outbuf_lines(&u->s->out, u->stream, u->t, p, n);
}

/* An error of the expander's own has been told: the text is empty. */
static int print_packed(struct sink *s, int stream, struct tagger *t, int fd)
{
	struct unpacked u = { .s = s, .stream = stream, .t = t };
	int e = s->expander.expand(s->expander.arg, fd, give_unpacked, &u);
	if (e != 0 && u.e == 0 && s->failed == 0)
		s->failed = e;
	return e;
}

static int copy_piece(struct sink *s, const struct piece *p)
{
	if (s->scratch < 0 && (s->scratch = dirs_unnamed(spool_dir(s->spool))) < 0)
		return s->scratch;
	if (ftruncate(s->scratch, 0) != 0 || lseek(s->scratch, 0, SEEK_SET) < 0)
		return -errno;
	return p->mem ? pwrite_full(s->scratch, p->mem, (size_t)p->len, 0)
	              : copy_range(p->fd, p->off, p->len, s->scratch);
}

static int print_packed_piece(struct sink *s, const struct piece *p, struct tagger *t)
{
	int stream = p->kind - PIECE_PACKED, e = copy_piece(s, p);
	return e ? sink_fail(s, e, true) : print_packed(s, stream, &t[stream], s->scratch);
}

static int print_piece(struct sink *s, const struct piece *p, struct tagger *t)
{
	if (p->kind == PIECE_COLOR)
		memcpy(&s->color, p->mem, sizeof s->color);
	if (p->kind == PIECE_TAG)
		buf_add(&s->tag, p->mem, (size_t)p->len);
	if (p->kind == PIECE_TAG || p->kind == PIECE_COLOR) {
		t[0] = t[1] = tagger_new(s->tag.len ? s->tag.s : NULL, s->color.on);
		return 0;
	}
	if (p->kind >= PIECE_PACKED)
		return print_packed_piece(s, p, t);
	if (p->mem)
		return outbuf_lines(&s->out, p->kind, &t[p->kind], p->mem, (size_t)p->len);
	return outbuf_file(&s->out, p->kind, &t[p->kind], p->fd, p->off, p->len);
}

int sink_print(struct sink *s, int64_t at)
{
	struct tagger t[2] = { { .tag = NULL }, { .tag = NULL } };
	struct piece p;
	buf_clear(&s->tag);
	*s->color.on = '\0';
	while (at >= 0) {
		int e = spool_read(s->spool, &at, &p);
		if (e != 0)
			return sink_fail(s, e, true);
		e = print_piece(s, &p, t);
		if (e != 0)
			return sink_fail(s, e, false);
		spool_release(s->spool, &p);
	}
	int e = outbuf_end(&s->out, 0, &t[0]);
	return sink_fail(s, e ? e : outbuf_end(&s->out, 1, &t[1]), false);
}

static size_t missing_newline(const char *head)
{
	size_t len = strlen(head);
	return len && head[len - 1] != '\n';
}

static int print_now(struct sink *s, const struct output *o)
{
	struct color color = sink_color(s, o->seq, o->failed);
	struct tagger t = tagger_new(o->tag, color.on);
	int e = 0;
	if (o->head) {
		e = outbuf_lines(&s->out, 0, &t, o->head, strlen(o->head));
		if (e == 0)
			e = outbuf_lines(&s->out, 0, &t, "\n", missing_newline(o->head));
	}
	for (int i = 0; i < 2 && e == 0; i++) {
		if (o->fd[i] >= 0 && o->packed[i])
			e = print_packed(s, i, &t, o->fd[i]);
		else if (o->fd[i] >= 0)
			e = outbuf_file(&s->out, i, &t, o->fd[i], 0, o->len[i]);
		else if (o->mem[i])
			e = outbuf_lines(&s->out, i, &t, o->mem[i], (size_t)o->len[i]);
		if (e == 0)
			e = outbuf_end(&s->out, i, &t);
	}
	return sink_fail(s, e, false);
}

/* ---- holding back ---- */

static bool has_output(const struct output *o)
{
	bool some = o->head && *o->head;
	for (int i = 0; i < 2; i++)
		some |= (o->fd[i] >= 0 || o->mem[i]) && o->len[i] > 0;
	return some;
}

static int hold(struct sink *s, const struct output *o, struct chain *c)
{
	int e = 0;
	if (!has_output(o))
		return 0;
	if (c->first < 0)
		e = sink_hold_tag(s, c, o->tag, sink_color(s, o->seq, o->failed));
	if (e == 0 && o->head)
		e = spool_add(s->spool, c, PIECE_OUT, o->head, strlen(o->head));
	if (e == 0 && o->head)
		e = spool_add(s->spool, c, PIECE_OUT, "\n", missing_newline(o->head));
	for (int i = 0; i < 2 && e == 0; i++)
		if (o->fd[i] >= 0)
			e = spool_add_file(s->spool, c, o->packed[i] ? i + PIECE_PACKED : i, o->fd[i],
			                   o->len[i]);
		else if (o->mem[i])
			e = spool_add(s->spool, c, i, o->mem[i], (size_t)o->len[i]);
	return sink_fail(s, e, true);
}

/* Whose turn has come now? */
static int advance(struct sink *s)
{
	int64_t at;
	int e = 0;
	while (e == 0 && order_take(&s->order, &at))
		if (at != ORDER_NOTHING)
			e = sink_print(s, at);
	struct live *l = e == 0 ? live_find(s, s->order.next) : NULL;
	return l ? live_turn(s, l) : e;
}

static int settle(struct sink *s, uint64_t seq, int64_t at)
{
	if (!s->keep || seq < s->order.next)
		return 0;
	order_put(&s->order, seq, at < 0 ? ORDER_NOTHING : at);
	return seq == s->order.next ? advance(s) : 0;
}

int sink_done(struct sink *s, const struct output *o)
{
	struct live *l = live_find(s, o->seq);
	struct chain c = CHAIN_EMPTY;
	int e = s->failed;
	if (l) {
		e = e ? e : live_end(s, l, o->tag);
		c = l->held;
		live_free(s, l);
	}
	if (e == 0)
		e = sink_holds(s, o->seq) ? hold(s, o, &c) : print_now(s, o);
	if (e == 0)
		e = settle(s, o->seq, c.first);
	return e || !s->ungroup ? e : sink_flush(s);
}

int sink_skip(struct sink *s, uint64_t seq)
{
	struct output o = { .seq = seq, .fd = { -1, -1 } };
	return sink_done(s, &o);
}

int sink_flush(struct sink *s)
{
	return s->failed ? s->failed : sink_fail(s, outbuf_flush(&s->out), false);
}
