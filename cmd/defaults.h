/* defaults.h - options that were not typed: configuration files and $PARALLEL. */
#ifndef CMD_DEFAULTS_H
#define CMD_DEFAULTS_H

#include <stddef.h>

struct words {
	char **v;
	size_t n, cap;
};
void words_add(struct words *w, char *word);

/* In the order they count (later ones win): GNU parallel's own file, or the profile if one is
 * named (NULL: none); ours; $PARALLEL.  Files that do not exist are empty.  -1 after warn(). */
int defaults_read(const char *profile, struct words into[3]);

#endif
