/* shebang.c - prong named on the first line of a script: --shebang and --shebang-wrap.
 *
 * The system passes all that stands on the line as one word, then the script and its
 * arguments; 'env -S' passes the words one by one.  Both become an ordinary command line. */
#include "defaults.h"
#include "options.h"
#include "template.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_option(const char *word, bool *wrap)
{
	*wrap = !strcmp(word, "--shebang-wrap") || !strcmp(word, "--hashbang-wrap");
	return *wrap || !strcmp(word, "--shebang") || !strcmp(word, "--hashbang");
}

static bool is_script(const char *path)
{
	char begin[2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, begin, sizeof begin);
	close(fd);
	return n == 2 && !memcmp(begin, "#!", 2);
}

/* The words of the first line; *i becomes the place of the script in argv. */
static int first_line(struct words *line, int argc, char **argv, int *i)
{
	if (words_split(line, argv[1], "--shebang") != 0)
		return -1;
	for (*i = 2; *i < argc && !is_script(argv[*i]); ++*i)
		words_add(line, argv[*i]);
	if (*i < argc)
		return 0;
	warn("--shebang is for the first line of a script: '#! .../prong --shebang ...', which is"
	     " then executed");
	return -1;
}

/* The command reads its values from the rest of the script. */
static int be_shebang(struct words *to, const struct words *line, int nargs, char *script)
{
	if (nargs) {
		warn("%s: a script with --shebang takes no arguments: its own lines are the input;"
		     " see --shebang-wrap", script);
		return -1;
	}
	words_add(to, "--arg-file");
	words_add(to, script);
	words_add(to, "--skip-first-line");
	for (size_t i = 1; i < line->n; i++)
		words_add(to, line->v[i]);
	return 0;
}

/* The script is run by the command, once for each of its arguments. */
static int be_wrap(struct words *to, const struct words *line, int nargs, char **script)
{
	struct buf name = { 0 };
	quote_shell(&name, *script, QUOTE_POSIX);
	for (size_t i = 1; i < line->n; i++)
		words_add(to, line->v[i]);
	words_add(to, name.s);
	if (nargs && strncmp(script[1], ":::", 3) != 0)
		words_add(to, ":::");
	for (int i = 1; i <= nargs; i++)
		words_add(to, script[i]);
	return 0;
}

int shebang_expand(int *argc, char ***argv)
{
	static struct words line, to; /* the configuration points into them */
	char first[32] = "";
	bool wrap;
	int i;
	line.n = to.n = 0;
	if (*argc < 2)
		return 0;
	snprintf(first, sizeof first, "%.*s", (int)strcspn((*argv)[1], " "), (*argv)[1]);
	if (!is_option(first, &wrap))
		return 0;
	if (first_line(&line, *argc, *argv, &i) != 0)
		return -1;
	words_add(&to, (*argv)[0]);
	int e = wrap ? be_wrap(&to, &line, *argc - i - 1, *argv + i)
	             : be_shebang(&to, &line, *argc - i - 1, (*argv)[i]);
	*argc = (int)to.n;
	words_add(&to, NULL);
	*argv = to.v;
	return e;
}
