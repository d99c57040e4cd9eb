/* option-set.h - what an option does to the configuration. */
#ifndef CMD_OPTION_SET_H
#define CMD_OPTION_SET_H

#include "options.h"

#define SETTER(name) int name(struct config *cfg, const struct option *o, const char *value)
SETTER(set_bool);    /* the bool at o->at becomes o->value */
SETTER(set_string);  /* the string at o->at; "{}" without a value */
SETTER(set_nothing);
SETTER(set_number);  /* int at o->at, at least o->value; k K m M g G allowed */
SETTER(set_delay);
SETTER(set_timeout);
SETTER(set_halt);
SETTER(set_block);
SETTER(set_block_timeout);
SETTER(set_delim);
SETTER(set_null);
SETTER(set_repl);    /* the replacement string o->value */
SETTER(set_rpl);
SETTER(set_parens);
SETTER(set_output);
SETTER(set_resume);
SETTER(set_sql);     /* o->value: 1 master, 2 worker, 3 both */
SETTER(set_compress); /* the string at o->at, and --compress */
SETTER(set_template);
SETTER(set_summary);
SETTER(set_capture);
SETTER(set_file);
SETTER(set_header);
SETTER(set_trim);
SETTER(set_max_args);
SETTER(set_max_lines);
SETTER(set_pack);
SETTER(set_eof);
SETTER(set_tagstring);
SETTER(set_ctag);    /* a tag, or the tag string if there is a value, and --color */
SETTER(set_shell_quote);
SETTER(print_line_max);
SETTER(print_min_version);
SETTER(print_cpus);
SETTER(print_version);
SETTER(set_size);     /* double at o->at: bytes */
SETTER(set_load);
SETTER(set_nice);
SETTER(set_profile);
SETTER(set_cpus);     /* o->value: what -j counts */
SETTER(record_env);
SETTER(set_sem_fg);  /* o->value: in the foreground */
SETTER(set_sem_id);
SETTER(set_sem_timeout);
SETTER(not_first);   /* an option that counts only as the first word */
SETTER(decline);     /* o->help says why and what to do */

#endif
