/* complete.c - the option table as completion of bash, zsh and fish. */
#include "options.h"

#include "buf.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Calls each(name, length) for the names of an option that are words of more than a letter. */
#define EACH_NAME(o, n, len)                                                                      \
	for (const char *n = (o)->names; *n; n += strcspn(n, " "), n += *n == ' ')                \
		for (int len = (int)strcspn(n, " "), once = 1; once; once = 0)                    \
			if (len > 1)

static void put(const char *s, int len)
{
	fwrite(s, 1, (size_t)len, stdout);
}

static bool declined(const struct option *o)
{
	return !o->names && !strcmp(o->help, "Declined");
}

#define EACH_OPTION(o)                                                                            \
	for (const struct option *o = options; o < options + noptions && !declined(o); o++)       \
		if (o->names)

/* What an argument can be, by what it is called; NULL: anything. */
static const char *choices(const struct option *o)
{
	static const struct { const char *meta, *words; } known[] = {
		{ "SHELL", "auto bash zsh fish" },
		{ "HOW", "file pipe" },
		{ "WHEN", "never now,fail=1 soon,fail=1 now,success=1 soon,success=1 now,done=1 "
		          "soon,done=1 soon,fail=10%" },
		{ "n|l|r|lr", "n l r lr" },
		{ "SEQ", "TERM,200,TERM,100,TERM,50,KILL,25 INT,200,TERM,200,KILL,25" },
	};
	for (size_t i = 0; o->meta && i < sizeof known / sizeof *known; i++)
		if (!strcmp(o->meta, known[i].meta))
			return known[i].words;
	return NULL;
}

static bool is_dir(const struct option *o)
{
	return o->meta && !strcmp(o->meta, "DIR");
}

static bool is_file(const struct option *o)
{
	return o->meta && (strstr(o->meta, "FILE") || (o->letter == 'j' && o->meta));
}

/* Text inside single quotes; what would end them or begin a message is left out. */
static void plain_text(const char *s, const char *without)
{
	for (; *s; s++)
		if (!strchr(without, *s))
			putchar(*s);
}

/* ---- bash ---- */

static void bash_patterns(const struct option *o)
{
	const char *bar = "";
	EACH_NAME(o, n, len) {
		printf("%s--", bar);
		put(n, len);
		bar = "|";
	}
	if (o->letter)
		printf("%s-%c", bar, o->letter);
}

static void bash_values(void)
{
	printf("\tcase $opt in\n");
	EACH_OPTION(o) {
		if (o->arg != ARG_NEEDED)
			continue;
		printf("\t");
		bash_patterns(o);
		if (choices(o))
			printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", choices(o));
		else if (is_dir(o))
			printf(") COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n");
		else if (is_file(o))
			printf(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
		else
			printf(") COMPREPLY=(); return ;;\n");
	}
	printf("\tesac\n");
}

static void letters(enum option_arg arg)
{
	EACH_OPTION(o)
		if (o->letter && o->arg == arg)
			putchar(o->letter);
}

static void bash_completion(void)
{
	printf("_prong() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i opt=\n"
	       "\tlocal IFS=$' \\t\\n'\n"
	       "\tCOMPREPLY=()\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n"
	       "\t\t:::*) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
	       "\t\t=) opt=${COMP_WORDS[i-1]} ;;\n"
	       "\t\t");
	const char *bar = "";
	EACH_OPTION(o) {
		if (o->arg == ARG_NEEDED) {
			printf("%s", bar);
			bash_patterns(o);
			bar = "|";
		}
	}
	/* "--name = value" is three words, "--name value" two */
	printf(") opt=${COMP_WORDS[i]}; [[ ${COMP_WORDS[i+1]} == = ]] && ((i++))\n"
	       "\t\t\t((++i < COMP_CWORD)) && opt= ;;\n"
	       "\t\t-*) opt=; [[ ${COMP_WORDS[i]} =~ ^-[");
	letters(ARG_NONE);
	printf("]+([");
	letters(ARG_NEEDED);
	printf("])$ ]] && { opt=-${BASH_REMATCH[1]}; ((++i < COMP_CWORD)) && opt=; } ;;\n"
	       "\t\t*) _command_offset $i 2>/dev/null || COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
	       "\t\tesac\n"
	       "\tdone\n"
	       "\t[[ $cur == = ]] && cur=\n");
	bash_values();
	printf("\tif [[ $cur == -* ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W '");
	EACH_OPTION(o)
		EACH_NAME(o, n, len)
			printf("--"), put(n, len), putchar(' ');
	printf("' -- \"$cur\"))\n"
	       "\telse\n"
	       "\t\tCOMPREPLY=($(compgen -c -- \"$cur\"))\n"
	       "\tfi\n"
	       "}\ncomplete -o filenames -o bashdefault -F _prong prong prong-sem\n");
}

/* ---- zsh ---- */

static void zsh_action(const struct option *o)
{
	if (!o->meta)
		return;
	printf(o->arg == ARG_NEEDED ? ":" : "::");
	plain_text(o->meta, "'[]\\:()");
	printf(":");
	if (choices(o))
		printf("(%s)", choices(o));
	else if (is_dir(o))
		printf("_files -/");
	else if (is_file(o))
		printf("_files");
}

static void zsh_option(const struct option *o, const char *name, int len, const char *how)
{
	printf("    '%s%.*s%s[", len > 1 ? "--" : "-", len, name, how);
	plain_text(o->help, "'[]\\");
	printf("]");
	zsh_action(o);
	printf("' \\\n");
}

static void zsh_completion(void)
{
	printf("#compdef prong prong-sem\n_prong() {\n  _arguments -s -S \\\n");
	EACH_OPTION(o) {
		EACH_NAME(o, n, len)
			zsh_option(o, n, len, o->arg == ARG_NEEDED ? "=" : o->arg == ARG_NONE ? "" : "=-");
		if (o->letter)
			zsh_option(o, &o->letter, 1, o->arg == ARG_NEEDED ? "+" : o->arg == ARG_NONE ? "" : "-");
	}
	printf("    '(-)1:command:_command_names -e' '*::arguments:_normal'\n}\n"
	       "if [[ $funcstack[1] == _prong ]]; then\n  _prong \"$@\"\n"
	       "else\n  compdef _prong prong prong-sem\nfi\n");
}

/* ---- fish ---- */

static void fish_option(const struct option *o, const char *command)
{
	printf("complete -c %s", command);
	EACH_NAME(o, n, len)
		printf(" -l "), put(n, len);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->arg == ARG_NEEDED)
		printf(choices(o) || !(is_file(o) || is_dir(o)) ? " -x" : " -r -F");
	if (choices(o))
		printf(" -a '%s'", choices(o));
	printf(" -d '");
	plain_text(o->help, "'\\");
	printf("'\n");
}

static void fish_completion(void)
{
	static const char *const commands[] = { "prong", "prong-sem" };
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		printf("complete -c %s -x -a '(__fish_complete_subcommand)'\n", commands[i]);
		EACH_OPTION(o)
			fish_option(o, commands[i]);
	}
}

/* ---- which ---- */

/* The shell that asks: our parent, or one of its parents. */
static const char *asking_shell(char *name, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(name, 1, size - 1, f) : 0;
	if (f)
		fclose(f);
	name[n] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return name;
}

int print_completion(struct config *cfg, const struct option *o, const char *value)
{
	static const struct { const char *shell; void (*print)(void); } shells[] = {
		{ "bash", bash_completion }, { "zsh", zsh_completion }, { "fish", fish_completion },
	};
	char name[64];
	(void)cfg;
	if (!strcmp(value, "auto"))
		value = asking_shell(name, sizeof name);
	for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
		if (!strcmp(value, shells[i].shell)) {
			shells[i].print();
			return 1;
		}
	return bad_value(o, value, "write auto, bash, zsh or fish");
}
