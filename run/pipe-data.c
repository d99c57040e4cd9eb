/* pipe-data.c - the files of --pipe: opened before anything runs, read without blocking
 * into one window; the header of each. */
#include "pipe-impl.h"

#include "regex.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

static int64_t size_of(int fd, const struct stat *st)
{
	if (!S_ISBLK(st->st_mode))
		return st->st_size;
	off_t at = lseek(fd, 0, SEEK_CUR), end = lseek(fd, 0, SEEK_END);
	lseek(fd, at, SEEK_SET);
	return end > 0 ? end : 0;
}

static int open_one(struct pipe *p, const char *path)
{
	struct data *d = &p->v[p->n];
	bool in = !path || !strcmp(path, "-");
	struct stat st;
	*d = (struct data){ .name = in ? "standard input" : path, .fd = STDIN_FILENO };
	if (!in)
		d->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st) != 0) {
		warn("cannot open the input file '%s':", d->name);
		return -1;
	}
	p->n++;
	if (S_ISDIR(st.st_mode)) {
		warn("cannot read the input file '%s': it is a directory", d->name);
		return -1;
	}
	d->fifo = S_ISFIFO(st.st_mode);
	d->end = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? size_of(d->fd, &st) : 0;
	d->at = d->end ? lseek(d->fd, 0, SEEK_CUR) : 0;
	d->regular = d->end > 0 && d->at >= 0;
	if (d->fifo)
		fcntl(d->fd, F_SETPIPE_SZ, PIPE_WINDOW);
	if (p->cfg->pipe_part && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		warn("--pipe-part: '%s' is neither a file nor a block device; use --pipe", d->name);
		return -1;
	}
	return 0;
}

int pipe_open_data(struct pipe *p)
{
	const struct config *cfg = p->cfg;
	p->v = xrealloc(NULL, (cfg->ninputs + 1) * sizeof *p->v);
	for (size_t i = 0; i < cfg->ninputs; i++)
		if (cfg->inputs[i].kind == INPUT_FILE && open_one(p, cfg->inputs[i].path) != 0)
			return -1;
	if (!p->n && cfg->pipe_part) {
		warn("--pipe-part needs a file: name it with -a FILE or :::: FILE");
		return -1;
	}
	return p->n ? 0 : open_one(p, NULL);
}

void pipe_close_data(struct pipe *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].fd > STDERR_FILENO)
			close(p->v[i].fd);
	free(p->v);
}

/* ---- reading ---- */

struct data *pipe_data(struct pipe *p)
{
	return p->cur < p->n ? &p->v[p->cur] : NULL;
}

int pipe_next_data(struct pipe *p)
{
	struct data *d = pipe_data(p);
	if (d->regular) /* the next command in the script goes on behind it */
		lseek(d->fd, d->at, SEEK_SET);
	p->cur++;
	p->header_done = false;
	return 0;
}

size_t pipe_have(const struct pipe *p)
{
	return p->win.len - p->at;
}

char *pipe_window(const struct pipe *p)
{
	return p->win.s + p->at;
}

void pipe_took(struct pipe *p, size_t n)
{
	p->at += n;
	p->since = 0;
	if (p->at == p->win.len) {
		buf_clear(&p->win);
		p->at = 0;
	}
}

static void make_room(struct pipe *p, size_t n)
{
	if (p->at && p->at + pipe_have(p) + n > p->win.cap) {
		memmove(p->win.s, p->win.s + p->at, pipe_have(p));
		p->win.len -= p->at;
		p->at = 0;
	}
	buf_reserve(&p->win, n);
}

static ssize_t read_some(struct data *d, char *to, size_t n)
{
	struct pollfd pfd = { .fd = d->fd, .events = POLLIN };
	if (d->regular)
		return pread(d->fd, to, n, d->at);
	if (poll(&pfd, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return read(d->fd, to, n);
}

int pipe_read(struct pipe *p, size_t most)
{
	struct data *d = pipe_data(p);
	size_t have = pipe_have(p);
	if (d->eof || have >= most)
		return 1;
	make_room(p, most - have);
	ssize_t n = read_some(d, p->win.s + p->win.len, most - have);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (d->regular)
		d->at += n;
	d->eof = n == 0;
	p->win.len += (size_t)n;
	p->win.s[p->win.len] = '\0';
	return 1;
}

/* ---- the header ---- */

static bool number(const char *s)
{
	return *s && !s[strspn(s, "0123456789")];
}

/* The end of that many lines, SIZE_MAX: not there yet. */
static size_t lines_end(const char *p, size_t len, unsigned long lines)
{
	size_t at = 0;
	for (; lines && at < len; lines--) {
		const char *nl = memchr(p + at, '\n', len - at);
		if (!nl)
			return SIZE_MAX;
		at = (size_t)(nl - p) + 1;
	}
	return lines ? SIZE_MAX : at;
}

static size_t header_end(struct pipe *p, bool all)
{
	const char *h = p->cfg->header_is;
	size_t len = pipe_have(p);
	struct span m;
	if (number(h))
		return lines_end(pipe_window(p), len, strtoul(h, NULL, 10));
	if (!strcmp(h, ":"))
		return lines_end(pipe_window(p), len, 1);
	int e = regex_scan(p->header_re, pipe_window(p), len, 0, all, &m);
	if (e < 0)
		return SIZE_MAX;
	return e > 0 && m.from == 0 ? m.to : 0;
}

int pipe_read_header(struct pipe *p)
{
	size_t end = SIZE_MAX;
	struct data *d = pipe_data(p);
	if (p->header_done)
		return 1;
	if (!p->cfg->header_is) {
		p->header_done = true;
		return 1;
	}
	while (end == SIZE_MAX) {
		size_t have = pipe_have(p);
		bool all = d->eof || have >= 64 * (size_t)PIPE_WINDOW;
		if (have || all)
			end = have ? header_end(p, all) : 0;
		if (end == SIZE_MAX && all)
			end = 0; /* there is none: nothing may be lost */
		if (end != SIZE_MAX)
			break;
		int e = pipe_read(p, have + 64 * 1024);
		if (e < 0)
			return e;
	}
	buf_clear(&p->header);
	buf_add(&p->header, pipe_window(p), end);
	pipe_took(p, end);
	p->header_done = true;
	return 1;
}
