/* load.c - moves a job's input into its pipe: bytes by write, ranges of files by splice.
 *
 * The pages of a range are lent to the pipe.  So that nothing changes under a reader, a file
 * of ours is never used for a second load. */
#include "load.h"

#include "copy.h"
#include "dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PIPE_SIZE = 1 << 20,  /* the most an ordinary user may ask for */
	PIPE_SMALL = 64 << 10, /* what a pipe holds anyway */
	TURN = 8 << 20,       /* at most this much for one job before others get their turn */
	BLOCK = 128 << 10
};

struct load *load_new(void)
{
	struct load *l = xrealloc(NULL, sizeof *l);
	*l = (struct load){ .fd = -1, .rfd = -1, .wfd = -1 };
	return l;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void watch(struct load *l, bool on)
{
	if (l->watched == on || l->wfd < 0)
		return;
	if (prong_watch(l->pool, l->wfd, on ? PRONG_WRITE : 0, l) == 0 || !on)
		l->watched = on;
}

static void close_pipe(struct load *l)
{
	watch(l, false);
	close_fd(&l->wfd);
}

/* ---- pages that wait in pipes ---- */

static bool spare_get(struct spares *s, struct spare *sp)
{
	int fd[2];
	if (!s || (!s->n && s->made == SPARES))
		return false;
	if (s->n) {
		*sp = s->v[--s->n];
		return true;
	}
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	fcntl(fd[1], F_SETPIPE_SZ, PIPE_SIZE);
	*sp = (struct spare){ .rfd = fd[0], .wfd = fd[1] };
	s->made++;
	return true;
}

static void spare_put(struct spares *s, struct spare *sp)
{
	if (sp->n == 0) {
		s->v[s->n++] = *sp;
		return;
	}
	close(sp->rfd);
	close(sp->wfd);
	s->made--;
}

void spares_free(struct spares *s)
{
	while (s->n) {
		close(s->v[--s->n].rfd);
		close(s->v[s->n].wfd);
	}
}

static void drop_chain(struct load *l)
{
	while (l->nchain)
		spare_put(l->spares, &l->chain[--l->nchain]);
	l->chained = 0;
}

/* Bytes moved from a pipe to the end of the chain; -EAGAIN: no room in it. */
static int64_t chain_add(struct load *l, int from, size_t n)
{
	for (bool fresh = false;; fresh = true) {
		struct spare *last = l->nchain ? &l->chain[l->nchain - 1] : NULL;
		ssize_t got = last ? splice(from, NULL, last->wfd, NULL, n, SPLICE_F_NONBLOCK) : -1;
		if (got >= 0) {
			last->n += got;
			l->chained += got;
			l->spent = true;
			return got;
		}
		if ((last && errno != EAGAIN) || fresh || l->nchain == SPARES ||
		    !spare_get(l->spares, &l->chain[l->nchain]))
			return last ? -errno : -EAGAIN;
		l->nchain++;
	}
}

static void chain_shift(struct load *l)
{
	spare_put(l->spares, &l->chain[0]);
	memmove(&l->chain[0], &l->chain[1], --l->nchain * sizeof *l->chain);
}

void load_free(struct load *l)
{
	if (!l)
		return;
	drop_chain(l);
	close_pipe(l);
	close_fd(&l->rfd);
	if (l->own)
		close_fd(&l->fd);
	buf_free(&l->head);
	buf_free(&l->tail);
	free(l);
}

void load_release(struct load *l)
{
	if (!l || !l->held) {
		load_free(l);
		return;
	}
	load_drop(l);
	l->jobless = true;
}

int64_t load_pending(const struct load *l)
{
	return (int64_t)(l->head.len - l->head_at) + l->chained + (l->len - l->range_at) +
	       (int64_t)(l->tail.len - l->tail_at);
}

int64_t load_size(const struct load *l)
{
	return l->given + (l->dead ? 0 : load_pending(l));
}

void load_started(struct load *l)
{
	close_fd(&l->rfd);
}

void load_drop(struct load *l)
{
	drop_chain(l);
	close_pipe(l);
	close_fd(&l->rfd);
	l->dead = true;
}

bool load_rewind(struct load *l)
{
	if (l->spent)
		return false;
	load_drop(l);
	l->dead = false;
	l->head_at = l->tail_at = 0;
	l->range_at = l->given = 0;
	return true;
}

/* ---- into the pipe ---- */

/* 1: all of it; 0: the pipe is full; -1: nobody reads. */
static int give_bytes(struct load *l, const struct buf *b, size_t *at, int64_t *budget)
{
	while (*at < b->len) {
		if (*budget <= 0)
			return 0;
		ssize_t n = write(l->wfd, b->s + *at, b->len - *at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		*at += (size_t)n;
		l->given += n;
		*budget -= n;
	}
	return 1;
}

static int give_chain(struct load *l, int64_t *budget)
{
	while (l->nchain) {
		struct spare *c = &l->chain[0];
		if (*budget <= 0)
			return 0;
		ssize_t n = c->n ? splice(c->rfd, NULL, l->wfd, NULL, (size_t)c->n, SPLICE_F_NONBLOCK)
		                 : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		c->n -= n;
		l->chained -= n;
		l->given += n;
		*budget -= n;
		if (c->n == 0)
			chain_shift(l);
	}
	return 1;
}

/* Where the file system cannot splice. */
static ssize_t give_copy(struct load *l, size_t want)
{
	char block[BLOCK];
	ssize_t n = pread(l->fd, block, want < BLOCK ? want : BLOCK, l->from + l->range_at);
	return n > 0 ? write(l->wfd, block, (size_t)n) : n;
}

static int give_range(struct load *l, int64_t *budget)
{
	while (l->range_at < l->len) {
		int64_t left = l->len - l->range_at;
		size_t want = left < PIPE_SIZE ? (size_t)left : PIPE_SIZE;
		loff_t off = l->from + l->range_at;
		if (*budget <= 0)
			return 0;
		ssize_t n = splice(l->fd, &off, l->wfd, NULL, want, SPLICE_F_NONBLOCK | SPLICE_F_MORE);
		if (n < 0 && (errno == EINVAL || errno == ENOSYS))
			n = give_copy(l, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EPIPE))
			return errno == EAGAIN ? 0 : -1;
		if (n <= 0) {
			l->error = n == 0 ? "it became shorter while it was read" : strerror(errno);
			return -1;
		}
		l->range_at += n;
		l->given += n;
		*budget -= n;
	}
	return 1;
}

void load_feed(struct load *l)
{
	int64_t budget = TURN;
	if (l->wfd < 0)
		return;
	int e = give_bytes(l, &l->head, &l->head_at, &budget);
	if (e == 1)
		e = give_chain(l, &budget);
	if (e == 1)
		e = give_range(l, &budget);
	if (e == 1)
		e = give_bytes(l, &l->tail, &l->tail_at, &budget);
	if (e < 0)
		load_drop(l);
	else if (e == 1 && !l->open)
		close_pipe(l);
	else
		watch(l, e == 0);
}

int load_attach(struct load *l, struct prong *pool)
{
	int fd[2];
	if (l->rfd >= 0)
		return 0; /* made for a start that did not happen */
	if (pipe2(fd, O_CLOEXEC) != 0)
		return -errno;
	l->pool = pool;
	l->rfd = fd[0];
	l->wfd = fd[1];
	fcntl(l->wfd, F_SETFL, O_NONBLOCK);
	if (l->open || load_pending(l) > PIPE_SMALL)
		fcntl(l->wfd, F_SETPIPE_SZ, PIPE_SIZE); /* refused: it is slower */
	load_feed(l);
	return 0;
}

/* ---- growing ---- */

static int open_file(struct load *l, const char *dir)
{
	if (l->fd >= 0)
		return 0;
	l->fd = dirs_unnamed(dir);
	l->own = l->fd >= 0;
	return l->own ? 0 : l->fd;
}

/* What was read is not needed: keep the file small. */
static void reuse_file(struct load *l)
{
	if (l->own && l->range_at == l->len && l->len && l->spent)
		l->from += l->len, l->len = l->range_at = 0;
}

int load_push(struct load *l, const char *dir, const void *data, size_t n)
{
	const char *p = data;
	if (l->dead)
		return 0;
	while (n && l->wfd >= 0 && !load_pending(l)) {
		ssize_t w = write(l->wfd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno != EAGAIN)
			load_drop(l);
		if (w < 0)
			break;
		p += w;
		n -= (size_t)w;
		l->given += w;
		l->spent = true;
	}
	if (!n || l->dead)
		return 0;
	int e = open_file(l, dir);
	reuse_file(l);
	if (e == 0)
		e = pwrite_full(l->fd, p, n, l->from + l->len);
	if (e == 0)
		l->len += (int64_t)n;
	watch(l, l->wfd >= 0);
	return e;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

static int64_t discard(int from, size_t n)
{
	static int null = -1;
	if (null < 0)
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ssize_t got = splice(from, NULL, null, NULL, n, SPLICE_F_NONBLOCK);
	return got < 0 ? -errno : got;
}

int64_t load_splice(struct load *l, const char *dir, int from, size_t n, bool wait)
{
	if (!readable(from))
		return -EAGAIN;
	if (l->dead)
		return discard(from, n);
	if (l->wfd >= 0 && !load_pending(l)) {
		ssize_t w = splice(from, NULL, l->wfd, NULL, n, SPLICE_F_NONBLOCK);
		if (w >= 0) {
			l->given += w;
			l->spent = true;
			return w;
		}
		if (errno == EPIPE) {
			load_drop(l);
			return discard(from, n);
		}
		if (errno != EAGAIN)
			return -errno;
	}
	if (l->wfd >= 0 && l->range_at == l->len) {
		int64_t got = chain_add(l, from, n);
		if (got >= 0) {
			watch(l, true);
			return got;
		}
	}
	if (wait && l->wfd >= 0) {
		watch(l, true);
		return -ENOBUFS;
	}
	int e = open_file(l, dir);
	if (e != 0)
		return e;
	reuse_file(l);
	loff_t off = l->from + l->len;
	ssize_t w = splice(from, NULL, l->fd, &off, n, SPLICE_F_NONBLOCK);
	if (w < 0)
		return -errno;
	l->len += w;
	watch(l, l->wfd >= 0);
	return w;
}

/* ---- into a file ---- */

int load_write(const struct load *l, int fd)
{
	struct target t = { .fd = fd };
	int e = write_full(&t, l->head.s, l->head.len);
	if (e == 0 && l->len)
		e = lseek(fd, 0, SEEK_END) < 0 ? -errno : copy_to(l->fd, l->from, l->len, &t);
	return e == 0 ? write_full(&t, l->tail.s, l->tail.len) : e;
}
