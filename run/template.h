/* template.h - a command with replacement strings, compiled once, expanded per job.
 * Pure functions of bytes: no system calls. */
#ifndef RUN_TEMPLATE_H
#define RUN_TEMPLATE_H

#include "buf.h"
#include "config.h"
#include "perl.h"
#include "source.h"

/* What an expansion may depend on besides the values. */
struct job_context {
	uint64_t seq;   /* {#}, from 1 */
	unsigned slot;  /* {%}, from 1 */
	unsigned slots; /* how many there are, for {0%} */
	int64_t total;  /* {##}; -1: not known */
	const struct perl_values *perl; /* what the expressions gave; NULL: ask now */
	size_t first;   /* the values to expand begin with this one of the job's */
};

struct template;

/* Compile cfg->command.  If no replacement string occurs in it, ' {}' is appended (as GNU
 * parallel does); with no command at all the value itself is the command, unquoted.
 * `names` are those of --header.  NULL after a message by warn(). */
struct template *template_new(const struct config *cfg, const struct names *names);
/* Compile one free string (--tagstring, --wd): values are inserted unquoted. */
struct template *template_text(const struct config *cfg, const struct names *names,
                               const char *text);
/* The command line for the shell: values quoted as GNU parallel quotes them. */
void template_expand(const struct template *t, const struct args *a,
                     const struct job_context *c, struct buf *out);
/* Bytes of plain text before the first replacement string; SIZE_MAX: there is none. */
size_t template_lead(const struct template *t);
/* Is {##} or {0#} in it?  Then all input must have been read before the first job. */
bool template_uses_total(const struct template *t);
/* {uniq} or {choose_k} rejects these values: the job is skipped. */
bool template_skips(const struct template *t, const struct args *a);
void template_free(struct template *t);
/* --filter: tell perl the condition; the template it returns gives its values (filter.c). */
struct template *template_filter(const struct config *cfg, const struct names *names);
/* The values for perl_job.put, NUL-terminated in `text`; returns how many. */
size_t template_put(const struct template *t, const struct args *a, const struct job_context *c,
                    struct buf *text);

/* For packing: the bytes of the command without values, what one more value adds, and what
 * the positional strings add for these values. */
size_t template_fixed(const struct template *t);
size_t template_added(const struct template *t, const char *value);
bool template_places(const struct template *t); /* is there one? */
size_t template_placed(const struct template *t, const struct args *a);

/* The same expansion as words for execve(), without a shell: only if direct_ok() said so
 * when the template was examined.  Words are appended to `words`, each with its NUL.
 * Equal to what the shell would have made of template_expand()'s text, byte for byte. */
void template_words(const struct template *t, const struct args *a, const struct job_context *c,
                    struct buf *words);

/* The first word, if it is literal and all literal text means itself to every shell; else
 * NULL: then only a shell can run it. */
const char *template_inert_command(const struct template *t);

/* ---- which shell, and when it is not needed (direct.c) ---- */
struct shell {
	const char *path; /* $PARALLEL_SHELL, else the shell that started prong, else $SHELL,
	                     else /bin/sh */
	int kind;         /* enum shell_kind in direct.c; 0: unknown */
	enum quoting quoting;
};
/* ppid: the process that started prong (the guardian's parent). */
void shell_choose(struct shell *sh, int ppid);
/* Can jobs of this template be exec'ed without the shell with the same result?  Looks at
 * the literal text, the first word (builtin, keyword, alias, exported function, contains
 * '=' or '/'...), and the environment (BASH_ENV, ENV, .zshenv, BASH_FUNC_*, names no shell
 * passes on unchanged).  Conservative: in doubt false. */
bool direct_ok(const struct template *t, const struct shell *sh, char *const *env);

/* ---- quote.c ---- */
/* Append value quoted so that a shell of that kind reads it back as one word; empty becomes ''.
 * Same spelling as GNU parallel (shown by --dry-run). */
void quote_shell(struct buf *out, const char *value, enum quoting how);
size_t quoted_length(const char *value, enum quoting how); /* at most so many bytes then */

#endif
