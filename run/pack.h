/* pack.h - how many records make one command: -n -N -L -X -m --xargs -s. */
#ifndef RUN_PACK_H
#define RUN_PACK_H

#include "template.h"

enum { LINE_MAX_DEFAULT = 131071 }; /* what execve() takes as one argument, without its NUL */

struct pack;

/* Borrows all of them.  slots: for spreading the last values over all of them. */
struct pack *pack_new(const struct config *cfg, struct inputs *in, const struct template *t,
                      unsigned slots);
/* As inputs_next(), for the values of one command; -E2BIG after warn(): one value alone is
 * too long. */
int pack_next(struct pack *p, struct args *a);
int64_t pack_total(const struct pack *p); /* commands in all, if known; else -1 */
void pack_free(struct pack *p);

#endif
