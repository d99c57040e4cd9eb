/* shuffle.h - --shuf: all records kept, then handed out in random order. */
#ifndef RUN_SHUFFLE_H
#define RUN_SHUFFLE_H

#include "source.h"

struct shuffle;
struct shuffle *shuffle_new(const char *seed); /* NULL: a seed from the system */
void shuffle_add(struct shuffle *s, const struct args *a); /* copied */
bool shuffle_full(const struct shuffle *s); /* handing out has begun */
int shuffle_next(struct shuffle *s, struct args *a); /* 1, or 0: no more */
void shuffle_free(struct shuffle *s);

#endif
