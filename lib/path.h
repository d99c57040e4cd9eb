/* path.h - where a command is: $PATH searched once per name.  Private. */
#ifndef LIB_PATH_H
#define LIB_PATH_H

struct paths; /* a small table of names already found */

/* The file to execute for `name`, or NULL with *error set (ENOENT, EACCES).  A name with a
 * slash is itself.  The string lives until pr_paths_forget() or pr_paths_free(). */
const char *pr_paths_find(struct paths **table, const char *name, int *error);
void pr_paths_forget(struct paths **table); /* something moved: look again */
void pr_paths_free(struct paths **table);

#endif
