/* options.h - the command line.  One table (options.c) gives parser and --help. */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "config.h"

/* -1: cfg is filled, go on; else exit with that status (the user has been told why). */
int options_parse(struct config *cfg, int argc, char **argv);

#endif
