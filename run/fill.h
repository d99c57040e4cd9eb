/* fill.h - --template FILE=NAME: files with replacement strings, filled in for each job. */
#ifndef RUN_FILL_H
#define RUN_FILL_H

#include "task.h"

struct fill;

/* Reads the files of cfg->templates.  NULL after warn(). */
struct fill *fill_new(const struct config *cfg, const struct names *names);
/* Write a task's files.  0 or -errno after warn(). */
int fill_write(const struct fill *f, struct builder *b, const struct task *t);
/* --cleanup: the job ended, remove them. */
void fill_remove(const struct fill *f, struct builder *b, const struct task *t);
void fill_free(struct fill *f);

#endif
