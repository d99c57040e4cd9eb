/* expr.h - where perl expressions stand in a text: {= =} and the user's own --rpl strings. */
#ifndef RUN_EXPR_H
#define RUN_EXPR_H

#include "buf.h"
#include "config.h"
#include "source.h"

struct expr {
	size_t len; /* of the text it stands for */
	int pos;    /* {=2 =}, {2tag}: of which value; 0: of all */
	bool once;  /* once for the job, whatever the number of values */
	char *code; /* yours */
};

/* {= =} (or --parens) at s. */
bool expr_parse(const struct config *cfg, const struct names *names, const char *s,
                struct expr *e);

struct rpls;
/* Compile cfg->rpl; NULL after warn(). */
struct rpls *rpls_new(const struct config *cfg, const struct names *names);
bool rpls_parse(const struct rpls *r, const char *s, struct expr *e); /* one of them at s */
void rpls_free(struct rpls *r);

/* A command's words, those that one expression reaches over joined by blanks.  Returns how
 * many. */
size_t expr_words(const struct config *cfg, char ***words);
void expr_words_free(char **words);

#endif
