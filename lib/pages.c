/* pages.c - memory of the local engine that is mapped when first needed.
 *
 * Every mapping is copied by each fork of the host, so a pool has none for what it may never do.
 * Not of the heap: what is written after a fork should lie in few pages. */
#include "local.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { REPORT = 2, REPORTS = 512, REPORTS_SIZE = REPORTS * REPORT * sizeof(int) };

static void *map(size_t size, int how)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);
	return m == MAP_FAILED ? NULL : m;
}

int pr_need(char **pages, size_t size)
{
	if (!*pages)
		*pages = map(size, MAP_PRIVATE);
	return *pages ? 0 : -ENOMEM;
}

void pr_unneed(void *pages, size_t size)
{
	if (pages)
		munmap(pages, size);
}

int pr_report_new(struct local *l, volatile int **report)
{
	unsigned page = l->nreports / REPORTS, i = l->nreports % REPORTS;
	if (i == 0) {
		int **pages = realloc(l->reports, (page + 1) * sizeof *pages);
		if (!pages)
			return -ENOMEM;
		l->reports = pages;
		if (!(pages[page] = map(REPORTS_SIZE, MAP_SHARED)))
			return -ENOMEM;
	}
	*report = l->reports[page] + (size_t)i * REPORT;
	l->nreports++;
	return 0;
}

void pr_reports_free(struct local *l)
{
	for (unsigned at = 0; at < l->nreports; at += REPORTS)
		munmap(l->reports[at / REPORTS], REPORTS_SIZE);
	free(l->reports);
}
