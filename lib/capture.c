/* capture.c - vessels: unlinked files that children write and hosts read.
 *
 * A used file is taken again only when nobody else can still write to it.  The proof: every
 * child has an open of its own (by /proc/self/fd/N), so that the kernel grants us a write
 * lease exactly when ours is the only open left.  (On a memfd it is granted wrongly; we do
 * not use one.)  Where there are no leases or no /proc, each job gets a fresh file. */
#include "os.h"
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPARE_MAX = 256 };

void pr_vessels_open(struct vessels *vs, const char *dir)
{
	*vs = (struct vessels){ .dir = dir };
	vs->no_reopen = !pr_can_reopen();
}

int pr_vessel_get(struct vessels *vs, struct vessel *v)
{
	int fd = vs->nspare ? vs->spare[--vs->nspare] : pr_nameless(vs->dir);
	if (fd < 0)
		return fd;
	*v = (struct vessel){ .fd = fd, .own_open = !vs->no_reopen };
	return 0;
}

static bool unshared(struct vessels *vs, int fd)
{
	int r = pr_unshared(fd);
	vs->no_lease |= r < 0;
	return r > 0;
}

static bool keep_spare(struct vessels *vs, int fd)
{
	if (vs->nspare == vs->cap) {
		unsigned cap = vs->cap ? vs->cap * 2 : 16;
		int *s = cap <= SPARE_MAX ? realloc(vs->spare, cap * sizeof *s) : NULL;
		if (!s)
			return false;
		vs->spare = s;
		vs->cap = cap;
	}
	vs->spare[vs->nspare++] = fd;
	return true;
}

/* The proof comes before the length: a length taken first could miss what a background
 * process wrote in between, and the next job would find it in its file. */
int pr_vessel_settle(struct vessels *vs, struct vessel *v, int64_t *len)
{
	struct stat st;
	v->unshared = v->own_open && !vs->no_lease && unshared(vs, v->fd);
	if (fstat(v->fd, &st) != 0)
		return -errno;
	*len = st.st_size;
	return 0;
}

void pr_vessel_put(struct vessels *vs, struct vessel *v, int64_t len)
{
	int fd = v->fd;
	if (fd < 0)
		return;
	v->fd = -1;
	if (v->unshared && (len == 0 || ftruncate(fd, 0) == 0) && keep_spare(vs, fd))
		return;
	close(fd);
}

void pr_vessels_close(struct vessels *vs)
{
	while (vs->nspare)
		close(vs->spare[--vs->nspare]);
	free(vs->spare);
	vs->spare = NULL;
}
