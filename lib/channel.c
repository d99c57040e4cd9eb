/* channel.c - shared memory between a host and a worker: files that grow, FIFOs in them. */
#include "channel.h"
#include "fds.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- regions ---- */

/* What was mapped stays if there is no memory for more. */
static int map(struct region *r, size_t size)
{
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	if (r->base)
		munmap(r->base, r->size);
	r->base = base;
	r->size = size;
	return 0;
}

/* The file's blocks are reserved: else a full disk or no memory would be a SIGBUS later. */
int pr_region_grow(struct region *r, size_t size)
{
	size_t page = 65536;
	size = (size + page - 1) / page * page;
	int e;
	do
		e = posix_fallocate(r->fd, 0, (off_t)size);
	while (e == EINTR);
	if (e == EINVAL || e == EOPNOTSUPP)
		e = ftruncate(r->fd, (off_t)size) == 0 ? 0 : errno;
	return e ? -e : map(r, size);
}

int pr_region_new(struct region *r, const char *tmpdir, size_t size)
{
	*r = (struct region){ .fd = pr_fd_mark(pr_memory_file(tmpdir)) };
	if (r->fd < 0)
		return r->fd;
	/* Small and used at once: not worth reserving. */
	int e = ftruncate(r->fd, (off_t)size) == 0 ? map(r, size) : -errno;
	if (e != 0)
		pr_region_free(r);
	return e;
}

int pr_region_see(struct region *r, uint64_t end)
{
	struct stat st;
	if (end <= r->size)
		return 0;
	if (fstat(r->fd, &st) != 0)
		return -errno;
	return end <= (uint64_t)st.st_size ? map(r, (size_t)st.st_size) : -EPROTO;
}

/* The mapping stays valid: its pages are new ones at the next touch. */
void pr_region_trim(struct region *r)
{
	if (ftruncate(r->fd, 0) != 0 || ftruncate(r->fd, (off_t)r->size) != 0)
		return; /* it only stays larger */
}

void pr_region_free(struct region *r)
{
	if (r->base)
		munmap(r->base, r->size);
	pr_fd_close(&r->fd);
	*r = (struct region){ .fd = -1 };
}

/* ---- FIFOs ---- */

/* head == tail is empty, so a block may not fill the last byte before tail. */
int64_t pr_fifo_place(const struct fifo *q, size_t n)
{
	if (q->head == q->tail)
		return n <= q->r.size ? 0 : -1;
	if (q->head > q->tail) {
		if (n <= q->r.size - q->head)
			return (int64_t)q->head;
		return n < q->tail ? 0 : -1;
	}
	return n < q->tail - q->head ? (int64_t)q->head : -1;
}

/* ---- channels ---- */

static size_t channel_size(uint32_t cells)
{
	return sizeof(struct channel) + cells * sizeof(struct cell);
}

int pr_channel_new(struct channel **out, unsigned window)
{
	uint32_t cells = 2; /* results wait in half of them, while the worker has others to do */
	while (cells < 2 * window)
		cells *= 2;
	struct channel *ch = mmap(NULL, channel_size(cells), PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ch == MAP_FAILED)
		return -errno;
	ch->cells = cells;
	*out = ch;
	return 0;
}

void pr_channel_free(struct channel *ch)
{
	if (ch)
		munmap(ch, channel_size(ch->cells));
}
