/* fds.h - which descriptors of this process are the library's.  Private.
 *
 * A forked function keeps the host's descriptors but must not keep ours: with the other end
 * of a worker's socket in hand it would hide the host's death from that worker.  So every
 * long-lived fd is marked where it is made, in all pools of the process; a mark may come a
 * moment after a fork of another thread, which is why nothing relies on this alone. */
#ifndef LIB_FDS_H
#define LIB_FDS_H

#include "os.h"

int pr_fd_mark(int fd); /* returns fd; ignores -1 */
void pr_fd_unmark(int fd); /* before it is given away */
/* Unmark it, close it, make it -1.  Only if it is marked: in a forked child pr_fds_close() was
 * here before, and the number may be another file's by now. */
void pr_fd_close(int *fd);
PR_NEAR void pr_fds_close(const int *keep, int n); /* in a forked child: close all marked but these */

#endif
