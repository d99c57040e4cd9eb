/* raw.h - system calls that leave errno alone, where we know how to make them.  Private.
 *
 * A child that shares our memory shares our thread's errno as well: while it runs beside us
 * it must not write there.  PR_RAW says that pr_raw() keeps to that. */
#ifndef LIB_RAW_H
#define LIB_RAW_H

#include <errno.h>
#include <unistd.h>

#if defined(PR_BACKEND_LINUX) && (defined(__x86_64__) || defined(__aarch64__)) && defined(__LP64__)
#define PR_RAW 1
#include <sys/syscall.h>

#ifdef PR_FAULTS
long pr_raw_fault(long nr); /* tests/stress/wrap.c: -errno if this call shall fail, else 0 */
#else
#define pr_raw_fault(nr) 0L
#endif

/* The result, or -errno. */
static inline long pr_raw(long nr, long a, long b, long c, long d)
{
	long fault = pr_raw_fault(nr);
	if (fault)
		return fault;
#ifdef __x86_64__
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
	                 : "=a"(r)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
	                 : "rcx", "r11", "memory");
	return r;
#else
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#endif
}

/* A libc's call, or the kernel's of that name with these arguments: >= 0, or -errno. */
#define PR_CALL(name, libc, a, b, c, d)                                                     \
	pr_raw(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d))
#else
#define PR_RAW 0
#define PR_CALL(name, libc, a, b, c, d) ((libc) < 0 ? (errno ? -(long)errno : -(long)EINVAL) : 0L)
#endif

#endif
