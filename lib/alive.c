/* alive.c - a byte that fork wipes, without help of the system: pthread_atfork(). */
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* All pools that were opened in one process share a byte.  fork() gives the child a copy,
 * which is wiped there; pools that the child opens get a new one.  Its address is odd, lest
 * it is taken for a page. */
static _Alignas(2) unsigned char first_two[2] = { 1, 1 };
static _Atomic(unsigned char *) byte = first_two + 1;

static void in_child(void)
{
	unsigned char *old = atomic_exchange(&byte, NULL);
	if (old)
		*old = 0;
}

static void at_fork(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

int pr_alive_atfork(unsigned char **alive)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, at_fork);
	unsigned char *now = atomic_load(&byte);
	if (!now) {
		unsigned char *two = malloc(2);
		if (!two)
			return -ENOMEM;
		two[1] = 1;
		if (atomic_compare_exchange_strong(&byte, &now, two + 1))
			now = two + 1;
		else
			free(two); /* another thread was faster */
	}
	*alive = now;
	return 0;
}
