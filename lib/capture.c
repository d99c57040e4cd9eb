/* capture.c - vessels: unlinked files that children write and hosts read.
 *
 * A used file is taken again only when nobody else can still write to it.  The proof: every
 * child has an open of its own (made by /proc/self/fd/N), so that the kernel grants us a write
 * lease exactly when ours is the only open left.  (On a memfd it is granted wrongly; we do
 * not use one.)  It is asked for at the job's end, and where something of the job still lives
 * then, again when the file is wanted.  Where there are no leases or no /proc, each job gets a
 * fresh file. */
#include "fds.h"
#include "os.h"
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPARE_MAX = 256 };

void pr_vessels_open(struct vessels *vs, const char *dir)
{
	*vs = (struct vessels){ .dir = dir };
	vs->reopener = pr_fd_mark(pr_reopener());
}

void pr_vessel_given(struct vessel *v)
{
	pr_fd_close(&v->own);
}

static bool unshared(struct vessels *vs, int fd)
{
	int r = pr_unshared(fd);
	vs->no_lease |= r < 0;
	return r > 0;
}

/* Asked twice, since "nothing" would be lost output.  The position is nobody else's where the
 * child had an open of its own. */
static int64_t length(const struct vessel *v)
{
	struct stat st;
	off_t end = v->owned ? lseek(v->fd, 0, SEEK_END) : -1;
	if (end >= 0)
		return end;
	return fstat(v->fd, &st) == 0 || fstat(v->fd, &st) == 0 ? st.st_size : -errno;
}

/* The proof comes before the look at its length: what a background process wrote in between
 * would be the next job's. */
int64_t pr_vessel_ended(struct vessels *vs, struct vessel *v)
{
	if (!v->clean && v->owned && !vs->no_lease)
		v->clean = unshared(vs, v->fd);
	return length(v);
}

/* A used one that was shared when its job ended: as good as new now? */
static bool cleaned(struct vessels *vs, struct vessel *v)
{
	if (!v->clean && unshared(vs, v->fd))
		v->clean = length(v) == 0 || ftruncate(v->fd, 0) == 0;
	return v->clean;
}

static bool take_spare(struct vessels *vs, struct vessel *v)
{
	while (vs->nspare) {
		*v = vs->spare[--vs->nspare];
		if (cleaned(vs, v))
			return true;
		pr_fd_close(&v->fd);
	}
	return false;
}

/* The one it asks for, or none where none is wanted? */
static bool open_own(const struct vessels *vs, struct vessel *v, int own)
{
	v->own = own ? pr_fd_mark(pr_open_again(vs->reopener, v->fd, own)) : -1;
	v->owned = v->own >= 0;
	v->clean = false;
	return v->owned || !own;
}

/* A child that must write by our own open begins at its position: in a used file that may be
 * the end of what was there, so it gets a fresh one. */
int pr_vessel_get(struct vessels *vs, struct vessel *v, int own)
{
	if (take_spare(vs, v)) {
		if (open_own(vs, v, own))
			return 0;
		pr_fd_close(&v->fd);
	}
	*v = (struct vessel){ .fd = pr_fd_mark(pr_nameless(vs->dir)), .own = -1 };
	if (v->fd < 0)
		return v->fd;
	open_own(vs, v, own);
	return 0;
}

static bool keep_spare(struct vessels *vs, const struct vessel *v)
{
	if (vs->nspare == vs->cap) {
		unsigned cap = vs->cap ? vs->cap * 2 : 16;
		struct vessel *s = cap <= SPARE_MAX ? realloc(vs->spare, cap * sizeof *s) : NULL;
		if (!s)
			return false;
		vs->spare = s;
		vs->cap = cap;
	}
	vs->spare[vs->nspare++] = *v;
	return true;
}

void pr_vessel_put(struct vessels *vs, struct vessel *v, int64_t len)
{
	if (v->fd < 0)
		return;
	pr_vessel_given(v);
	bool again = v->clean || (v->owned && !vs->no_lease);
	if (!again || (len > 0 && ftruncate(v->fd, 0) != 0) || !keep_spare(vs, v))
		pr_fd_close(&v->fd);
	v->fd = -1;
}

void pr_vessels_close(struct vessels *vs)
{
	while (vs->nspare)
		pr_fd_close(&vs->spare[--vs->nspare].fd);
	free(vs->spare);
	vs->spare = NULL;
	pr_fd_close(&vs->reopener);
}
