/* limit.h - --limit: a command, or "io N", "load N", "mem N", that says if a job may start. */
#ifndef RUN_LIMIT_H
#define RUN_LIMIT_H

struct limit;
enum limit_says { LIMIT_ASKING = -1, LIMIT_GO, LIMIT_WAIT, LIMIT_KILL, LIMIT_BROKEN };

/* NULL after warn(). */
struct limit *limit_new(const char *spec, const char *shell);
/* Ask once for each job; ASKING: the command has not answered yet, look again. */
enum limit_says limit_ask(struct limit *l, double now);
void limit_free(struct limit *l);

#endif
