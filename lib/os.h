/* os.h - the small things that each system does in its own way.  Private.
 *
 * os-linux.c, os-posix.c.  The large ones have headers of their own: ev.h, proc.h. */
#ifndef LIB_OS_H
#define LIB_OS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What a forked child of a function runs before the function: the linker lays it together, since
 * each other page of code that the child touches is a fault. */
#define PR_NEAR __attribute__((hot))

/* CPUs that this thread may run on, at least 1. */
unsigned pr_cpus(void);

/* A byte that is 1 here and 0 in every forked child: cheaper than asking for the pid. */
int pr_alive_new(unsigned char **alive); /* 0 or -errno */
void pr_alive_free(unsigned char *alive);

/* alive.c: the same byte for all pools of a process, by pthread_atfork(); never freed. */
int pr_alive_atfork(unsigned char **alive);

/* pipe(), both ends close-on-exec. 0 or -errno. */
int pr_pipe(int fd[2]);

/* Sleep as long as *word, in shared memory, is `value`, for so many milliseconds at most, and
 * have one who does so look again.  -ENOTSUP: there is nothing like it. */
int pr_nap(_Atomic uint32_t *word, uint32_t value, int ms);
void pr_rouse(_Atomic uint32_t *word);

/* A file without a name in dir, for reading and writing, close-on-exec; or -errno. */
int pr_nameless(const char *dir);

/* The same, in memory where that can be had. */
int pr_memory_file(const char *dir);

/* Have this process killed when the thread that forked it ends, where that can be had. */
void pr_deathsig(int sig);

/* What pr_open_again() needs, an fd; -1 where it cannot be done.  The caller closes it. */
int pr_reopener(void);

/* Another open file description of the file behind fd, by these flags of open(); or -1. */
int pr_open_again(int reopener, int fd, int flags);

/* 1: nobody else has fd's file open; 0: somebody has, or it cannot be told this time;
 * -ENOTSUP: it never can for files like this one. */
int pr_unshared(int fd);

/* The signal mask of this thread, of the libc's own signals as well.  Either may be NULL.
 * Async-signal-safe. */
PR_NEAR void pr_sigmask(const sigset_t *set, sigset_t *old);

/* close() each fd from `first` to the one before `end`.  Async-signal-safe. */
PR_NEAR void pr_close_range(int first, int end);

/* Every fd from `first` on shall be closed by exec.  Async-signal-safe. */
void pr_close_on_exec_from(int first);

#endif
