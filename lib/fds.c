/* fds.c - a bit for each descriptor that is the library's, of whatever pool and thread. */
#include "fds.h"

#include "pool.h"

#include <stdatomic.h>
#include <unistd.h>

enum { FDS_MAX = 65536 }; /* above: not known, not closed */

/* Words from `used` on are empty: a forked child need not look at them, each page of which
 * would be a fault. */
static _Atomic int used;
static _Atomic uint64_t ours[FDS_MAX / 64];

static void use(int words)
{
	int had = atomic_load(&used);
	while (had < words && !atomic_compare_exchange_weak(&used, &had, words))
		;
}

int pr_fd_mark(int fd)
{
	if (fd < 0 || fd >= FDS_MAX)
		return fd;
	use(fd / 64 + 1);
	atomic_fetch_or(&ours[fd / 64], UINT64_C(1) << fd % 64);
	return fd;
}

void pr_fd_unmark(int fd)
{
	if (fd >= 0 && fd < FDS_MAX)
		atomic_fetch_and(&ours[fd / 64], ~(UINT64_C(1) << fd % 64));
}

void pr_fd_close(int *fd)
{
	if (*fd < 0)
		return;
	uint64_t bit = UINT64_C(1) << *fd % 64;
	if (*fd >= FDS_MAX || (atomic_fetch_and(&ours[*fd / 64], ~bit) & bit))
		close(*fd);
	*fd = -1;
}

static bool kept(int fd, const int *keep, int n)
{
	while (n--)
		if (keep[n] == fd)
			return true;
	return false;
}

/* Neighbours go by one call. */
void pr_fds_close(const int *keep, int nkeep)
{
	int first = 0, end = 0;
	for (int i = 0, n = atomic_load(&used); i < n; i++) {
		uint64_t bits = atomic_load_explicit(&ours[i], memory_order_relaxed);
		for (int fd = i * 64; bits; bits >>= 1, fd++) {
			if (!(bits & 1) || fd <= 2 || kept(fd, keep, nkeep))
				continue;
			pr_fd_unmark(fd);
			if (fd != end) {
				pr_close_range(first, end);
				first = fd;
			}
			end = fd + 1;
		}
	}
	pr_close_range(first, end);
}
