/* config.h - what the command line asked for, as plain data.
 * Written by cmd/options.c, read by everything in run/.  Strings belong to argv, the
 * environment or the parser's arena and live as long as the process. */
#ifndef RUN_CONFIG_H
#define RUN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One input source, in command-line order. */
enum input_kind { INPUT_ARGS, INPUT_FILE }; /* FILE: path "-" is standard input */
struct input_spec {
	enum input_kind kind;
	bool linked;         /* :::+ ::::+ : goes with the source before it */
	char *const *values; /* INPUT_ARGS */
	size_t nvalues;
	const char *path; /* INPUT_FILE */
};

/* A number that may be a percentage. */
struct amount {
	double n;
	bool percent;
};

/* How a value becomes one word of the shell that runs the jobs. */
enum quoting { QUOTE_POSIX, QUOTE_CSH, QUOTE_FISH };
enum halt_when { HALT_NEVER, HALT_SOON, HALT_NOW };
enum halt_why { HALT_FAIL, HALT_SUCCESS, HALT_DONE };
struct halt {
	enum halt_when when;
	enum halt_why why;
	struct amount limit;
};

/* Replacement strings that can be spelled otherwise (-I, --er, --bnr ...). */
enum repl { REPL_VALUE, REPL_NOEXT, REPL_BASE, REPL_DIR, REPL_BASE_NOEXT, REPL_SEQ, REPL_SLOT,
	    REPL_COUNT };
extern const char *const repl_standard[REPL_COUNT]; /* what stands between their braces */

enum cpus { CPU_THREADS, CPU_CORES, CPU_SOCKETS };

/* How many records go into one command. */
enum pack_mode { PACK_ONE, PACK_XARGS, PACK_SPREAD }; /* SPREAD: the last ones over all slots */
enum trim { TRIM_AUTO, TRIM_NONE, TRIM_LEFT, TRIM_RIGHT, TRIM_BOTH };

enum resume_mode { RESUME_NO, RESUME_MISSING, RESUME_FAILED, RESUME_RETRY };
struct resume;

enum output_mode { OUTPUT_GROUP, OUTPUT_LINE, OUTPUT_UNGROUP };
enum when { WHEN_AUTO, WHEN_ALWAYS, WHEN_NEVER };

struct config {
	/* what to run */
	char *const *command; /* words of the command, NULL-terminated; empty: input lines
	                         are the commands */
	size_t ncommand;
	bool quote;           /* -q: words are quoted for the shell one by one */
	const char *repl[REPL_COUNT]; /* the user's own spellings; NULL: the usual one */
	bool plus;            /* --plus */
	const char **rpl;     /* --rpl: 'TAG EXPRESSION' */
	size_t nrpl;
	const char *parens;   /* --parens; NULL: "{==}" */
	const char *filter;   /* --filter: a condition in Perl; NULL: none */
	struct perl *perl;    /* runs the expressions */
	/* input that goes to the jobs' standard input */
	bool pipe, pipe_part; /* --pipe, --pipe-part */
	double block;         /* bytes; < 0: blocks for each slot; 0: not given */
	double block_timeout; /* seconds; 0: none */
	const char *recstart, *recend; /* NULL: not given */
	bool regexp, rrs;     /* they are regular expressions; they are removed */
	const char *header_is; /* --header: ":", a number of lines, a regular expression */
	bool round_robin, tee, cat, fifo;
	const char *bin, *shard, *group_by; /* a column */
	/* input */
	struct input_spec *inputs; /* none: standard input */
	size_t ninputs;
	bool link;            /* --link (and --xapply) */
	const char *delim;    /* record separator: "\n", "\0" with -0, -d STR */
	size_t delim_len;
	const char *colsep;   /* -C: regular expression between columns */
	bool csv;
	bool header;          /* --header: the first record of each source names its columns */
	bool header_files;    /* --header 0: files are their names */
	bool skip_first;      /* --skip-first-line */
	enum trim trim;
	bool shuf;            /* --shuf: all jobs in random order */
	const char *seed;     /* --seed: of it; NULL: from the system */
	const char *arg_sep, *file_sep; /* instead of ":::" and "::::" */
	bool no_run_if_empty; /* -r: skip empty input lines */
	const char *eof_str;  /* -E; NULL none */
	/* how many values to one command */
	enum pack_mode pack;       /* -X -m --xargs */
	bool repeat;          /* -X -N: a word with {} once for each value */
	int max_args;         /* -n -N; -1: no limit but the length */
	int max_lines;        /* -L; -1: not given */
	int max_chars;        /* -s; 0: what the system takes */
	bool exit_if_long;    /* -x */
	/* how many at once */
	enum cpus cpus;       /* what percentages and +N -N of -j are of */
	const char *jobs;     /* -j as given, NULL: default; read again on change if a file */
	double delay;         /* seconds between starts */
	bool delay_auto;      /* it grows after failures and shrinks after successes */
	struct amount timeout; /* seconds, or percent of the median run time; n 0: none */
	unsigned retries;     /* tries in all; 1: no retry; 0: until it succeeds */
	struct halt halt;
	double memfree, memsuspend; /* bytes; 0: not given */
	const char *limit;    /* --limit: a command that says if a job may start */
	const char *load;     /* --load as given, NULL: none */
	bool noswap;
	const char *termseq;  /* NULL: the library's default */
	int nice;             /* the jobs' nice value, if nice_given */
	bool nice_given;
	const char *workdir;  /* --wd; NULL: here; "..." a fresh directory per job */
	const char *slot_var; /* --process-slot-var */
	bool interactive;     /* --interactive */
	bool open_tty;        /* --open-tty */
	bool tty;             /* --tty: one job at a time, with the terminal */
	bool sweep;           /* --sweep */
	const char *capture;  /* NULL or "file", "pipe" */
	const char *tmpdir;   /* --tmpdir; NULL: $TMPDIR, /tmp */
	/* output */
	enum output_mode output;
	bool keep_order;
	const char *results;   /* --results: directory, template, or FILE.csv .tsv .json .sqlite */
	bool files;            /* --files */
	bool tag;
	const char *tagstring; /* template; NULL: the values, blanks between */
	const char **templates; /* --template FILE=NAME */
	size_t ntemplates;
	bool cleanup;          /* --cleanup: remove what was filled in */
	const char *sql;       /* a DBURL */
	bool sql_master, sql_worker;
	bool latest;           /* --latest-line */
	bool compress;
	const char *compress_program, *decompress_program; /* NULL: the first there is */
	bool color, color_failed; /* --color, --color-failed */
	bool verbose;          /* -t / --verbose: command on stderr */
	bool verbose_stdout;   /* -v: command on stdout before the output */
	bool dry_run;
	const char *joblog;    /* path, "-" stdout; a leading '+' appends */
	enum resume_mode resume;
	struct resume *resumed; /* what the job log says; NULL: nothing */
	enum when summary;     /* --summary / --no-summary / auto: stderr is a terminal */
	bool bar, progress, eta;
	int total_jobs;        /* --total-jobs: what they may believe; 0: find out */
	enum quoting quoting;
	unsigned shell_quote; /* --shell-quote, that many times: print the values quoted */
	bool plain;            /* no $PARALLEL, no configuration files */
	const char **profiles; /* -J, in their order */
	size_t nprofiles;
	bool show_limits;
	bool output_given;
	/* --semaphore: one job, once there is room among the processes of the same name */
	bool semaphore, sem_fg, sem_wait;
	const char *sem_id;
	double sem_timeout;    /* seconds; < 0: then give up, > 0: then take it; 0: none */
	bool sweep_orphans;    /* --sweep-orphans: find leftovers of a killed run, and exit */
};

#endif
