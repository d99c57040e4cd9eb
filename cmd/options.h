/* options.h - the command line.  One table (option-table.c) gives parser, --help, completion
 * and the OPTIONS section of the man page. */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "config.h"

/* -1: cfg is filled, go on; else exit with that status (the user has been told why). */
int options_parse(struct config *cfg, int argc, char **argv);

/* ---- within cmd/ ---- */

/* --shebang, --shebang-wrap: make an ordinary command line of it.  -1 after warn(). */
int shebang_expand(int *argc, char ***argv);

enum option_arg {
	ARG_NONE,
	ARG_NEEDED,
	ARG_GLUED,  /* optional, only as -eX or --eof=X */
	ARG_WORD,   /* optional, also the next word if it is no option (-i) */
	ARG_NUMBER, /* optional, also the next word if it is a number (-l) */
};

struct option {
	const char *names; /* long names, blank between, the first is the real one; NULL: a
	                      heading of the help */
	char letter;
	enum option_arg arg;
	/* 0, -1 after a message, 1: all is done, exit with 0; value is NULL without one */
	int (*set)(struct config *cfg, const struct option *o, const char *value);
	size_t at;         /* of the field in struct config */
	int value;
	const char *meta;  /* what the argument is called */
	const char *help;
};
extern const struct option options[];
extern const int noptions;

int bad_value(const struct option *o, const char *value, const char *mend);
struct input_spec *add_input(struct config *cfg, enum input_kind kind, bool linked);

/* help.c, complete.c */
int print_help(struct config *cfg, const struct option *o, const char *value);
int print_completion(struct config *cfg, const struct option *o, const char *value);
int print_man(struct config *cfg, const struct option *o, const char *value);

#endif
