/* squeeze.c - runs the programs of --compress.
 *
 * Owns a second pool: the first one's slots are the user's.  We stand between a job and its
 * program, so that what a job leaves behind cannot keep the program from ending. */
#include "squeeze.h"

#include "copy.h"
#include "dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 64 << 10 }; /* up to here nothing is compressed */

struct squeezer {
	const struct config *cfg;
	struct sink_patience patience;
	struct prong *pool;
	struct buf pack, unpack, mark; /* for sh -c; PRONG_JOB=... */
	struct unpacking *unpacking;
};

/* A stream on its way back. */
struct unpacking {
	int (*give)(void *arg, const char *p, size_t n);
	void *arg;
	int e;
	bool ended, failed;
};

/* In the order in which the manual of GNU parallel names them. */
static const struct {
	const char *name, *options;
} known[] = {
	{ "pzstd", "-q -1 -c" }, { "lbzip2", "-1 -c" }, { "pbzip2", "-1 -c" }, { "zstd", "-q -1 -c" },
	{ "pigz", "-1 -c" },     { "lz4", "-q -1 -c" }, { "lzop", "-1 -c" },   { "plzip", "-1 -c" },
	{ "lzip", "-1 -c" },     { "gzip", "-1 -c" },   { "pxz", "-1 -c" },    { "lzma", "-1 -c" },
	{ "bzip2", "-1 -c" },    { "xz", "-1 -c" },     { "clzip", "-1 -c" },
};

static bool in_path(const char *name, size_t len)
{
	const char *path = getenv("PATH");
	struct buf b = { 0 };
	bool found = false;
	if (memchr(name, '/', len)) {
		buf_add(&b, name, len);
		found = access(b.s, X_OK) == 0;
	}
	for (const char *p = path ? path : "/usr/bin:/bin"; !found && *p && !memchr(name, '/', len);) {
		size_t n = strcspn(p, ":");
		buf_clear(&b);
		buf_fmt(&b, "%.*s/%.*s", (int)n, p, (int)len, name);
		found = access(b.s, X_OK) == 0;
		p += n + (p[n] == ':');
	}
	buf_free(&b);
	return found;
}

/* Better said once, now.  A word that only a shell understands is left to it. */
static bool there(const char *command)
{
	size_t n = strcspn(command, " \t");
	if (!n || strcspn(command, "'\"\\$`=(){}[]*?~|&;<>") < n || in_path(command, n))
		return true;
	warn("--compress: there is no program '%.*s'", (int)n, command);
	return false;
}

static bool choose(struct squeezer *sq)
{
	const struct config *cfg = sq->cfg;
	size_t i = 0, n = sizeof known / sizeof *known;
	if (cfg->compress_program) {
		buf_str(&sq->pack, cfg->compress_program);
		buf_fmt(&sq->unpack, "%s -dc", cfg->compress_program);
	} else {
		while (i < n && !in_path(known[i].name, strlen(known[i].name)))
			i++;
		if (i == n) {
			warn("--compress: none of zstd, gzip, xz ... is installed; name another by "
			     "--compress-program");
			return false;
		}
		buf_fmt(&sq->pack, "%s %s", known[i].name, known[i].options);
		buf_fmt(&sq->unpack, "%s -dc", known[i].name);
	}
	if (cfg->decompress_program) {
		buf_clear(&sq->unpack);
		buf_str(&sq->unpack, cfg->decompress_program);
	}
	return there(sq->pack.s) && there(sq->unpack.s);
}

static const int tag_signal;

struct squeezer *squeezer_new(const struct config *cfg, const struct host *host, unsigned room,
                              const struct sink_patience *patience)
{
	struct squeezer *sq = xrealloc(NULL, sizeof *sq);
	*sq = (struct squeezer){ .cfg = cfg, .patience = *patience };
	struct prong_options o = { .size = sizeof o, .jobs = room, .tmpdir = cfg->tmpdir,
		                   .sigmask = host->job_mask, .flags = PRONG_NO_HANDLERS };
	buf_fmt(&sq->mark, "%s.0", host->mark);
	int e = choose(sq) ? prong_open(&sq->pool, &o) : -ENOENT;
	if (e == 0 && patience->fd >= 0)
		e = prong_watch(sq->pool, patience->fd, PRONG_READ, (void *)(uintptr_t)&tag_signal);
	if (e == 0)
		return sq;
	if (e != -ENOENT)
		warn("--compress: cannot begin: %s", prong_strerror(e));
	squeezer_free(sq);
	return NULL;
}

void squeezer_free(struct squeezer *sq)
{
	if (!sq)
		return;
	prong_close(sq->pool);
	buf_free(&sq->pack);
	buf_free(&sq->unpack);
	buf_free(&sq->mark);
	free(sq);
}

struct prong *squeezer_pool(const struct squeezer *sq)
{
	return sq ? sq->pool : NULL;
}

/* ---- the pool ---- */

/* The tag of a program that compresses is its stream; the one that does the opposite has the
 * squeezer as its tag. */
static void program_ended(struct squeezer *sq, const struct prong_event *ev)
{
	const struct prong_result *res = ev->result;
	bool failed = res->how != PRONG_EXITED || res->status != 0;
	if (ev->tag == sq) {
		if (sq->unpacking)
			sq->unpacking->ended = true;
		if (sq->unpacking)
			sq->unpacking->failed = failed;
		return;
	}
	struct squeezed *z = ev->tag;
	z->ended = z->started = true;
	z->failed |= failed;
	if (z->into < 0 && res->out.fd >= 0) {
		z->len = res->out.len;
		z->fd = prong_take(sq->pool, 1);
	}
}

/* One event; -EINTR if a signal ends the waiting. */
static int step(struct squeezer *sq)
{
	const struct prong_event *ev;
	int e = prong_wait(sq->pool, &ev, -1);
	if (e != 1)
		return e == 0 ? 0 : e;
	if (ev->type == PRONG_READY)
		return sq->patience.go_on(sq->patience.arg) ? 0 : -EINTR;
	if (ev->type == PRONG_STARTED && ev->tag != sq)
		((struct squeezed *)ev->tag)->started = true;
	if (ev->type == PRONG_OUTPUT && sq->unpacking && sq->unpacking->e == 0)
		sq->unpacking->e = sq->unpacking->give(sq->unpacking->arg, ev->data, ev->len);
	if (ev->type == PRONG_DONE)
		program_ended(sq, ev);
	return 0;
}

static int64_t submit(struct squeezer *sq, const char *command, int in, struct prong_stdio out,
                      void *tag)
{
	char *argv[] = { "/bin/sh", "-c", (char *)(uintptr_t)command, NULL };
	char *env[] = { sq->mark.s, NULL };
	return prong_submit(sq->pool, PRONG_SPEC(.argv = argv, .setenv = env, .mark = env[0],
	                                         .in = { .how = PRONG_FD, .fd = in }, .out = out,
	                                         .err = { .how = PRONG_INHERIT }, .tag = tag));
}

static int said(int e, const char *what)
{
	if (e != 0 && e != -EINTR)
		warn("--compress: %s: %s", what, prong_strerror(e));
	return e;
}

/* ---- compressing ---- */

struct squeezed *squeezed_new(int into)
{
	struct squeezed *z = xrealloc(NULL, sizeof *z);
	*z = (struct squeezed){ .into = into, .to = -1, .fd = -1 };
	return z;
}

static int start(struct squeezer *sq, struct squeezed *z)
{
	int pipe[2];
	struct prong_stdio out = { .how = z->into >= 0 ? PRONG_FD : PRONG_FILE, .fd = z->into };
	if (pipe2(pipe, O_CLOEXEC) != 0)
		return -errno;
	int64_t id = submit(sq, sq->pack.s, pipe[0], out, z);
	int e = id < 0 ? (int)id : 0;
	z->submitted = id > 0;
	while (e == 0 && !z->started)
		e = step(sq);
	close(pipe[0]);
	z->to = pipe[1];
	return e;
}

static int feed(struct squeezer *sq, struct squeezed *z, const void *data, size_t len)
{
	struct target t = { .fd = z->to, .patience = sq->patience.fd >= 0 ? &sq->patience : NULL };
	int e = write_full(&t, data, len);
	z->failed |= e == -EPIPE; /* it ended early: squeeze_end() says so */
	return e == -EPIPE ? 0 : e;
}

int squeeze_add(struct squeezer *sq, struct squeezed *z, const void *data, size_t len)
{
	int e = 0;
	if (z->to < 0 && z->into < 0 && z->mem.len + len <= SMALL) {
		buf_add(&z->mem, data, len);
		return 0;
	}
	if (z->to < 0) {
		e = start(sq, z);
		if (e == 0)
			e = feed(sq, z, z->mem.s, z->mem.len);
		buf_free(&z->mem);
	}
	return said(e ? e : feed(sq, z, data, len), "cannot run the program");
}

int squeeze_end(struct squeezer *sq, struct squeezed *z)
{
	int e = 0;
	if (z->to < 0)
		return 0;
	close(z->to);
	z->to = -1;
	while (e == 0 && !z->ended)
		e = step(sq);
	if (e == 0 && z->failed) {
		warn("--compress: '%s' failed: output is lost; is there room in '%s'?", sq->pack.s,
		     tmpdir_of(sq->cfg));
		return -EIO;
	}
	return said(e, "cannot wait for the program");
}

/* The pool has its address until the program has ended. */
void squeezed_free(struct squeezer *sq, struct squeezed *z)
{
	if (!z)
		return;
	if (z->to >= 0)
		close(z->to);
	while (z->submitted && !z->ended && step(sq) == 0)
		;
	if (z->fd >= 0)
		close(z->fd);
	buf_free(&z->mem);
	if (!z->submitted || z->ended)
		free(z);
}

/* ---- and back ---- */

int squeeze_expand(struct squeezer *sq, int fd, int (*give)(void *arg, const char *p, size_t n),
                   void *arg)
{
	struct unpacking u = { .give = give, .arg = arg };
	/* cppcheck-suppress autoVariables; taken back below */
	sq->unpacking = &u;
	int64_t id = lseek(fd, 0, SEEK_SET) < 0 ? -errno
	                                        : submit(sq, sq->unpack.s, fd,
	                                                 (struct prong_stdio){ .how = PRONG_PIPE }, sq);
	int e = id < 0 ? (int)id : 0;
	while (e == 0 && u.e == 0 && !u.ended)
		e = step(sq);
	if (!u.ended && id > 0) { /* nobody wants the rest */
		prong_stop(sq->pool, id);
		for (int k = 0; !u.ended && (k == 0 || k == -EINTR);)
			k = step(sq);
	}
	sq->unpacking = NULL;
	if (u.e != 0)
		return u.e;
	if (e == 0 && u.failed) {
		warn("--compress: '%s' failed: output is lost", sq->unpack.s);
		return -EIO;
	}
	return said(e, "cannot run the program");
}

static int write_plain(void *arg, const char *p, size_t n)
{
	return write_full(arg, p, n);
}

int squeeze_plain(struct squeezer *sq, const struct squeezed *z, int *fd, int64_t *len)
{
	struct target t = { .fd = dirs_unnamed(tmpdir_of(sq->cfg)) };
	*fd = t.fd;
	int e = t.fd < 0 ? t.fd : 0;
	if (e == 0)
		e = z->fd >= 0 ? squeeze_expand(sq, z->fd, write_plain, &t)
		               : write_full(&t, z->mem.s, z->mem.len);
	off_t end = e == 0 ? lseek(t.fd, 0, SEEK_END) : 0;
	*len = end < 0 ? 0 : end;
	return e;
}
