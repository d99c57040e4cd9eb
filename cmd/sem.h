/* sem.h - counting semaphores of this user on this machine: --semaphore, prong-sem.
 *
 * A holder is a process with an exclusive flock on a file of its own under
 * ~/.parallel/semaphores/id-NAME/.  The kernel drops the lock when the process ends, however
 * it ends, so nothing can be left held. */
#ifndef CMD_SEM_H
#define CMD_SEM_H

#include "config.h"

enum sem_got { SEM_HELD, SEM_TIMED_OUT, SEM_FAILED }; /* FAILED: after warn() */

/* Wait until fewer than `limit` hold the semaphore, and hold it. */
enum sem_got sem_take(const struct config *cfg, int limit);
/* Before the work begins: end the process the user started, if it need not wait for it. */
void sem_background(const struct config *cfg);
/* Let it go; removes what is not needed any more.  Any process that inherited it may. */
void sem_release(void);
/* Wait until nobody holds it.  0 or -1 after warn(). */
int sem_wait_all(const struct config *cfg);

#endif
