/* dirs.h - directories made when they are needed. */
#ifndef RUN_DIRS_H
#define RUN_DIRS_H

#include "config.h"

/* Where temporary files go: --tmpdir, $TMPDIR, /tmp. */
const char *tmpdir_of(const struct config *cfg);

/* mkdir -p.  Writes into path while it works.  0 or -errno. */
int dirs_make(char *path);
/* The same for the directory that path is in. */
int dirs_make_parent(char *path);
/* Open (made empty, for reading and writing) a file; its directories are made if missing.
 * The fd, or -errno. */
int dirs_create(char *path);
/* An unlinked file in dir, for reading and writing.  The fd, or -errno. */
int dirs_unnamed(const char *dir);

#endif
