/* defaults.h - options that were not typed: configuration files and $PARALLEL. */
#ifndef CMD_DEFAULTS_H
#define CMD_DEFAULTS_H

#include <stddef.h>

struct words {
	char **v;
	size_t n, cap;
};
void words_add(struct words *w, char *word);
/* Cut a text as a shell would; a word that begins with # begins a comment.  -1 after warn(). */
int words_split(struct words *w, const char *s, const char *where);

/* *n lists in the order they count (later ones win): GNU parallel's own files and ours, or the
 * profiles if any are named; $PARALLEL.  Files that do not exist are empty.  -1 after warn(). */
int defaults_read(const char *const *profiles, size_t nprofiles, struct words **into, size_t *n);
/* Write the names of the environment to ~/.parallel/ignored_vars. */
int defaults_record_env(void);

#endif
