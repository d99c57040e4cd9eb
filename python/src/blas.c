/* blas.c - threads of the numeric libraries in a worker, and CPUs.
 *
 * The environment is read when a library is loaded, long before we fork: so call the setters
 * of what is loaded, as threadpoolctl does. */
#include "ext.h"

#include <dlfcn.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const char *const setters[] = {
	"openblas_set_num_threads", "openblas_set_num_threads64_", "openblas_set_num_threads_64_",
	"scipy_openblas_set_num_threads", "scipy_openblas_set_num_threads64_",
	"MKL_Set_Num_Threads", "bli_thread_set_num_threads", "omp_set_num_threads",
};
static const char *const names[] = { "openblas", "mkl_rt", "libblis", "libgomp", "libomp",
	                             "libiomp", "libblas" };

struct limit {
	int threads, found;
};

static int limit_one(struct dl_phdr_info *info, size_t size, void *data)
{
	struct limit *l = data;
	bool known = false;
	(void)size;
	for (size_t i = 0; info->dlpi_name && i < sizeof names / sizeof *names; i++)
		known |= strstr(info->dlpi_name, names[i]) != NULL;
	bool gomp = known && strstr(info->dlpi_name, "libgomp");
	if (!l->threads && !(gomp && openmp_used))
		return 0;
	void *lib = known ? dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
	if (!lib)
		return 0;
	for (size_t i = 0; i < sizeof setters / sizeof *setters; i++) {
		void *sym = dlsym(lib, setters[i]);
		void (*set)(int);
		memcpy(&set, &sym, sizeof set);
		if (sym) {
			set(openmp_used && !strncmp(setters[i], "omp", 3) ? 1 : l->threads);
			l->found++;
		}
	}
	dlclose(lib);
	return 0;
}

/* 0: only GNU OpenMP, if more than one of its threads would hang. */
int blas_limit(int threads)
{
	struct limit l = { .threads = threads > 0 ? threads : 0 };
	dl_iterate_phdr(limit_one, &l);
	return l.found;
}
