/* columns.h - one record into values: --colsep, --csv, --trim. */
#ifndef RUN_COLUMNS_H
#define RUN_COLUMNS_H

#include "buf.h"
#include "config.h"
#include "regex.h"

struct columns {
	const struct config *cfg;
	struct regex *sep;
	struct buf text;     /* the values, each NUL-terminated */
	size_t *at;          /* where they begin */
	char **v;            /* the same as pointers, after columns_end() */
	size_t n, cap;
};

int columns_init(struct columns *c, const struct config *cfg); /* -1 after warn() */
bool columns_needed(const struct config *cfg); /* does a record differ from its value? */
void columns_begin(struct columns *c);
void columns_add(struct columns *c, const char *record); /* the values of one record */
void columns_end(struct columns *c);
void columns_free(struct columns *c);

#endif
