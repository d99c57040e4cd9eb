/* pages.c - big objects in huge pages: the first touch of memory costs more than the copy.
 *
 * In a worker the allocator of big blocks asks the kernel for huge pages.  Blocks of less than
 * 512 bytes are pymalloc's and do not come by here.  PyMem_SetAllocator() is as old as 3.4 but
 * not in the limited API: looked up, and left alone where it is missing. */
#include "ext.h"

#include <dlfcn.h>
#include <sys/mman.h>

enum { HUGE_MIN = 4 << 20, DOMAIN_RAW = 0 };

/* PyMemAllocatorEx, the same since 3.5 */
struct allocator {
	void *ctx;
	void *(*malloc)(void *, size_t);
	void *(*calloc)(void *, size_t, size_t);
	void *(*realloc)(void *, void *, size_t);
	void (*free)(void *, void *);
};
static struct allocator before;

void advise_huge(void *p, size_t n)
{
	if (n < HUGE_MIN)
		return;
	uintptr_t a = ((uintptr_t)p + 4095) & ~(uintptr_t)4095;
	madvise((void *)a, ((uintptr_t)p + n - a) & ~(size_t)4095, MADV_HUGEPAGE);
}

static void *huge_malloc(void *ctx, size_t n)
{
	void *p = before.malloc(ctx, n);
	if (n >= HUGE_MIN && p)
		advise_huge(p, n);
	return p;
}

static void *huge_calloc(void *ctx, size_t k, size_t n)
{
	void *p = before.calloc(ctx, k, n);
	if (p && n && k >= HUGE_MIN / n)
		advise_huge(p, k * n);
	return p;
}

static void *huge_realloc(void *ctx, void *p, size_t n)
{
	p = before.realloc(ctx, p, n);
	if (n >= HUGE_MIN && p)
		advise_huge(p, n);
	return p;
}

void use_huge_pages(void)
{
	typedef void access_fn(int domain, struct allocator *a);
	access_fn *get = (access_fn *)dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
	access_fn *set = (access_fn *)dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
	if (!get || !set || before.malloc)
		return;
	get(DOMAIN_RAW, &before);
	struct allocator ours = { before.ctx, huge_malloc, huge_calloc, huge_realloc, before.free };
	set(DOMAIN_RAW, &ours);
}
