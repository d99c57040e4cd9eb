/* terminal.h - the terminal is the guardian's; we borrow it: --interactive, --open-tty. */
#ifndef RUN_TERMINAL_H
#define RUN_TERMINAL_H

#include "run.h"

/* Make our process group the terminal's, if the guardian's is; and the other way round. */
void terminal_take(const struct host *host);
void terminal_give(const struct host *host);

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_NONE }; /* NONE: the terminal is gone, or a signal came */

/* "COMMAND ?..." and a line read from the terminal.  go_on() is called when a signal came;
 * it says whether to wait on. */
enum answer ask(const struct host *host, const char *command, bool (*go_on)(void *arg), void *arg);

#endif
