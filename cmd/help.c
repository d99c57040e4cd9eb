/* help.c - the option table as --help and as roff. */
#include "options.h"

#include "buf.h"

#include <stdio.h>
#include <string.h>

static int name_len(const struct option *o)
{
	return (int)strcspn(o->names, " ");
}

static bool declined(const struct option *o)
{
	return !o->names && !strcmp(o->help, "Declined");
}

static bool one_letter(const struct option *o)
{
	return o->names[1] == '\0';
}

/* "-j, --jobs N" */
static void left_side(const struct option *o, char *to, size_t size)
{
	char letter[8] = "    ";
	if (o->letter)
		snprintf(letter, sizeof letter, "-%c%s", o->letter, one_letter(o) ? "" : ", ");
	int n = snprintf(to, size, "%s", letter);
	if (!one_letter(o))
		n += snprintf(to + n, size - (size_t)n, "--%.*s", name_len(o), o->names);
	if (o->meta)
		snprintf(to + n, size - (size_t)n, o->arg == ARG_NEEDED ? " %s" : "[%s]", o->meta);
}

int print_help(struct config *cfg, const struct option *o, const char *value)
{
	(void)cfg, (void)o, (void)value;
	printf("usage: prong [options] [command [words]] [::: values | :::: files]...\n"
	       "Run the command once per input record, several at a time. In the command: {} the\n"
	       "value, {.} no extension, {/} last component, {//} directory, {/.} both, {#} job\n"
	       "number, {%%} job slot, {N} {N.} ... the N-th source or column.\n");
	for (int i = 0; i < noptions && !declined(&options[i]); i++) {
		char left[80];
		if (!options[i].names) {
			printf("\n%s:\n", options[i].help);
			continue;
		}
		left_side(&options[i], left, sizeof left);
		printf("  %-28s %s\n", left, options[i].help);
	}
	return 1;
}

/* ---- the man page ---- */

static void roff(const char *s)
{
	for (; *s; s++)
		if (*s == '-')
			printf("\\-");
		else if (*s == '\\')
			printf("\\e");
		else
			putchar(*s);
}

static void man_item(const struct option *o)
{
	printf(".TP\n");
	if (o->letter)
		printf("\\fB\\-%c\\fR%s", o->letter, one_letter(o) ? "" : ", ");
	for (const char *n = o->names; *n && !one_letter(o); n += strcspn(n, " "), n += *n == ' ') {
		printf("%s\\fB\\-\\-", n == o->names ? "" : ", ");
		for (size_t i = 0; i < strcspn(n, " "); i++)
			printf(n[i] == '-' ? "\\-" : "%c", n[i]);
		printf("\\fR");
	}
	if (o->meta) {
		printf(o->arg == ARG_NEEDED ? " \\fI" : "[\\fI");
		roff(o->meta);
		printf(o->arg == ARG_NEEDED ? "\\fR" : "\\fR]");
	}
	printf("\n");
	roff(o->help);
	printf("\n");
}

int print_man(struct config *cfg, const struct option *o, const char *value)
{
	(void)cfg, (void)o, (void)value;
	for (int i = 0; i < noptions; i++)
		if (!options[i].names)
			printf(".SS %s\n", options[i].help);
		else
			man_item(&options[i]);
	return 1;
}
