/* quiet.c - what other threads of the host do at the moment of a fork.
 *
 * OpenBLAS ends its threads in its own fork handler, and waits for each.  One that was at work
 * when it was told to end forgets it, and fork() never returns.  So wait until none is: we hold
 * the GIL, so no thread of Python can begin with it anew.  Whether they work is seen in /proc:
 * an idle one sleeps on a word in the library, or spins for a while; and while one works, or
 * they are being started, so does the thread that called the library.
 *
 * OpenBLAS 0.3.34 in numpy's wheels no longer shows how many threads it has and whether they are up.  There
 * we wait until no other thread runs at all, unless it is plain that its threads sleep or that
 * there are none.
 *
 * GNU OpenMP has no fork handler: a child that uses more than one thread waits for threads that
 * are not there.  All that can be done is to see it. */
#include "ext.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LIBS = 4, NAP_US = 1000, PATIENCE_S = 20, CALM = 3 };
/* Who runs so long and wakes none is not in OpenBLAS: LAPACK does much by itself in between, and
 * a loaded machine makes it longer.  Who was seen to be elsewhere is not waited for so long again. */
#define IDLE_NS INT64_C(5000000000)
#define AGAIN_NS INT64_C(200000000)

struct lib {
	uintptr_t from, to; /* its memory */
	const int *up, *threads; /* OpenBLAS's own variables; NULL: hidden */
	int (*count)(void);      /* how many threads it may use, if they are hidden */
};
struct libs {
	struct lib blas[LIBS];
	unsigned nblas, nhidden;
	bool gomp;
};
struct census {
	unsigned all, running, idle; /* threads but this one; idle: OpenBLAS's, asleep */
};

bool openmp_used; /* libgomp had threads at a fork: for the child */
static unsigned pythons; /* Python's threads just before the fork, if nhidden */

static const char *const counters[] = {
	"scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads",
	"openblas_get_num_threads64_", "openblas_get_num_threads",
};

static void find_variables(struct lib *b, void *h)
{
	b->up = dlsym(h, "blas_server_avail");
	b->threads = dlsym(h, "blas_num_threads");
	b->count = NULL;
	for (size_t i = 0; i < sizeof counters / sizeof *counters && !b->count; i++) {
		void *sym = dlsym(h, counters[i]);
		memcpy(&b->count, &sym, sizeof sym);
	}
}

static bool hidden(const struct lib *b)
{
	return !b->up || !b->threads;
}

static unsigned most_threads(const struct lib *b)
{
	int n = !hidden(b) ? *b->threads : b->count ? b->count() : 0;
	return n > 0 ? (unsigned)n : 1;
}

static int look_at_lib(struct dl_phdr_info *info, size_t size, void *data)
{
	struct libs *l = data;
	(void)size;
	const char *name = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
	if (!name)
		return 0;
	l->gomp |= strstr(name, "libgomp") != NULL;
	if (!strstr(name, "openblas") || l->nblas == LIBS)
		return 0;
	void *h = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
	if (!h)
		return 0;
	struct lib *b = &l->blas[l->nblas];
	find_variables(b, h);
	dlclose(h);
	b->from = UINTPTR_MAX;
	b->to = 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr;
		if (p->p_type != PT_LOAD)
			continue;
		b->from = at < b->from ? at : b->from;
		b->to = at + p->p_memsz > b->to ? at + p->p_memsz : b->to;
	}
	l->nhidden += hidden(b) && most_threads(b) > 1;
	l->nblas += !hidden(b) || b->count;
	return 0;
}

static bool read_task(const char *tid, const char *what, char *buf, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/task/%.20s/%s", tid, what);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(buf, 1, size - 1, f) : 0;
	if (f)
		fclose(f);
	buf[n] = '\0';
	return n > 0;
}

static void count_thread(const struct libs *l, const char *tid, struct census *c)
{
	char buf[512];
	long nr;
	unsigned long word;
	if (atol(tid) <= 0 || atol(tid) == syscall(SYS_gettid) ||
	    !read_task(tid, "stat", buf, sizeof buf))
		return;
	char *rest = strrchr(buf, ')');
	c->all++;
	if (rest && rest[1] && (rest[2] == 'R' || rest[2] == 'D'))
		c->running++;
	else if (read_task(tid, "syscall", buf, sizeof buf) &&
	         sscanf(buf, "%ld 0x%lx", &nr, &word) == 2 && nr == SYS_futex)
		for (unsigned i = 0; i < l->nblas; i++)
			c->idle += word >= l->blas[i].from && word < l->blas[i].to;
}

static struct census count_threads(const struct libs *l)
{
	struct census c = { 0 };
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; d && (e = readdir(d));)
		count_thread(l, e->d_name, &c);
	if (d)
		closedir(d);
	return c;
}

/* OpenBLAS's threads, all copies of it together. */
static unsigned servers(const struct libs *l)
{
	unsigned n = 0;
	for (unsigned i = 0; i < l->nblas; i++)
		if (hidden(&l->blas[i]) || *l->blas[i].up)
			n += most_threads(&l->blas[i]) - 1;
	return n;
}

static bool may_serve(const struct libs *l)
{
	bool may = false;
	for (unsigned i = 0; i < l->nblas; i++)
		may |= most_threads(&l->blas[i]) > 1;
	return may;
}

static unsigned python_threads(void)
{
	PyObject *t, *x, *tb;
	PyErr_Fetch(&t, &x, &tb);
	PyObject *f = PySys_GetObject("_current_frames");
	PyObject *all = f ? PyObject_CallNoArgs(f) : NULL;
	Py_ssize_t n = all ? PyDict_Size(all) : 1;
	Py_XDECREF(all);
	PyErr_Restore(t, x, tb);
	return n > 0 ? (unsigned)n : 1;
}

static void wait_for_blas(const struct libs *l)
{
	static bool gave_up;
	static int64_t enough = IDLE_NS;
	unsigned calm = 0;
	int64_t begin = now_ns(), woken = begin, now;
	while (calm < CALM && !gave_up) {
		unsigned n = servers(l);
		struct census c = count_threads(l);
		if (l->nhidden && c.all + 1 < pythons + n)
			n = c.idle; /* there is no room for them: they are down */
		unsigned awake = c.idle < n ? n - c.idle : 0;
		calm = c.running <= (l->nhidden ? 0 : awake) ? calm + 1 : 0;
		now = now_ns();
		woken = awake ? now : woken;
		if (now - woken > enough) {
			enough = AGAIN_NS;
			return;
		}
		if (now - begin > PATIENCE_S * INT64_C(1000000000)) {
			gave_up = true;
			dprintf(2, "prong: another thread has been inside OpenBLAS for %d s; "
			                  "this fork may never return: see prong.template()\n",
			                  PATIENCE_S);
		}
		if (calm < CALM)
			usleep(NAP_US);
	}
}

/* Before PyOS_BeforeFork(), which since 3.13 takes a lock that asking for threads needs. */
void look_for_openmp(void)
{
	struct stat s;
	struct libs l = { 0 };
	if (stat("/proc/self/task", &s) != 0 || s.st_nlink <= 3)
		return;
	dl_iterate_phdr(look_at_lib, &l);
	if (!l.gomp && !l.nhidden)
		return;
	pythons = python_threads();
	unsigned blas = l.nhidden ? count_threads(&l).idle : servers(&l);
	openmp_used |= l.gomp && s.st_nlink - 2 > pythons + blas;
}

/* Just before a fork, under the GIL, when no Python runs any more. */
void quiet_fork(void)
{
	struct stat s;
	if (stat("/proc/self/task", &s) != 0 || s.st_nlink <= 3)
		return; /* we are alone */
	struct libs l = { 0 };
	dl_iterate_phdr(look_at_lib, &l);
	if (may_serve(&l))
		wait_for_blas(&l);
}
