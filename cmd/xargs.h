/* xargs.h - the command line of --as-xargs and prong-xargs. */
#ifndef CMD_XARGS_H
#define CMD_XARGS_H

#include "../run/xargs.h"

/* Are we called as xargs?  Then *argc and *argv are what xargs would have got. */
bool xargs_called(int *argc, char ***argv);
/* -1: x is filled, go on; else what to exit with (the user has been told why). */
int xargs_parse(struct xargs *x, int argc, char **argv);
/* The input; NULL after warn(). */
struct word_reader *xargs_open(const struct xargs *x);

#endif
