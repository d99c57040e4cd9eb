/* crew.h - the standing workers of a pool, as the pool sees them.  Private.
 *
 * A worker with tasks holds one of the pool's slots; idle ones stand by without.  Tasks are
 * ordinary jobs: in p->waiting until handed out, and again if taken back. */
#ifndef LIB_CREW_H
#define LIB_CREW_H

#include "pool.h"

int pr_crew_open(struct prong *p); /* 0, -ENOMEM, -ENOTSUP; again is nothing */
void pr_crew_close(struct prong *p);

/* Hand waiting tasks to workers, forking some if need be; 1: *f is a task that ended. */
int pr_crew_turn(struct prong *p, struct fired *f);
/* true: *f is one more of those that were seen done before, and nothing else is due. */
bool pr_crew_next(struct prong *p, struct fired *f);
bool pr_crew_watch(struct prong *p, bool may_look); /* for a moment; true: something to do */
bool pr_crew_arm(struct prong *p);      /* before a sleep. false: there is something to do */
void pr_crew_consumed(struct prong *p); /* the last event's data are not needed any more */
void pr_crew_idle(struct prong *p);     /* nothing runs, nothing waits */

/* Take back what waits behind task id (0: any), and begin to end it if it runs: true. */
bool pr_crew_stop(struct prong *p, int64_t id);
int pr_crew_signal(struct prong *p, int64_t id, int sig, int otherwise);
void pr_crew_resized(struct prong *p);
bool pr_crew_owns(const struct prong *p, pid_t pid);
unsigned pr_crew_room(const struct prong *p);

#endif
