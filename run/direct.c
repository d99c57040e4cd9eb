/* direct.c - which shell runs the jobs, and when none is needed.  Reads /proc and $SHELL. */
#include "template.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum shell_kind { SHELL_OTHER, SHELL_POSIX, SHELL_BASH, SHELL_ZSH };

/* Those of kind OTHER run every job themselves. */
static const struct {
	const char *name;
	enum shell_kind kind;
	enum quoting quoting;
	bool plain; /* such a shell does not pass bash's functions on */
} shells[] = {
	{ .name = "bash", .kind = SHELL_BASH },
	{ .name = "dash", .kind = SHELL_POSIX, .plain = true },
	{ .name = "sh", .kind = SHELL_POSIX, .plain = true },
	{ .name = "ksh93", .kind = SHELL_POSIX },
	{ .name = "ksh", .kind = SHELL_POSIX },
	{ .name = "mksh", .kind = SHELL_POSIX },
	{ .name = "zsh", .kind = SHELL_ZSH },
	{ .name = "zsh5", .kind = SHELL_ZSH },
	{ .name = "busybox", .kind = SHELL_POSIX, .plain = true },
	{ .name = "ash" },
	{ .name = "yash" },
	{ .name = "tcsh", .quoting = QUOTE_CSH },
	{ .name = "csh", .quoting = QUOTE_CSH },
	{ .name = "bsd-csh", .quoting = QUOTE_CSH },
	{ .name = "fish", .quoting = QUOTE_FISH },
};
enum { NSHELLS = sizeof shells / sizeof *shells, ANCESTORS_MAX = 64 };

/* Words that some shell runs itself.  A program of the same name is then not meant. */
static const char *const not_programs[] = {
	".", ":", "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "chdir",
	"command", "compgen", "complete", "compopt", "continue", "coproc", "declare", "dirs",
	"disown", "do", "done", "echo", "elif", "else", "enable", "end", "esac", "eval", "exec",
	"exit", "export", "false", "fc", "fg", "fi", "for", "foreach", "function", "getopts",
	"hash", "help", "history", "if", "in", "jobs", "kill", "let", "local", "logout",
	"mapfile", "newgrp", "nocorrect", "noglob", "popd", "print", "printf", "pushd", "pwd",
	"read", "readarray", "readonly", "repeat", "return", "select", "set", "shift", "shopt",
	"sleep", "source", "suspend", "test", "then", "time", "times", "trap", "true", "type",
	"typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "whence", "where",
	"which", "while", "basename", "cat", "cp", "dirname", "ln", "mkdir", "mv", "rename",
	"rm", "rmdir", "realpath", "limit", "emulate", "float", "integer", "zmodload",
};

/* Its place in the table; NSHELLS: none that we know. */
static size_t find_shell(const char *path)
{
	char real[PATH_MAX];
	const char *name = realpath(path, real) ? real : path;
	const char *slash = strrchr(name, '/');
	size_t i = 0;
	name = slash ? slash + 1 : name;
	while (i < NSHELLS && strcmp(name, shells[i].name) != 0)
		i++;
	return i;
}

static const char *shell_of_process(int pid)
{
	static char path[PATH_MAX];
	char link[64];
	snprintf(link, sizeof link, "/proc/%d/exe", pid);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return NULL;
	path[n] = '\0';
	return find_shell(path) < NSHELLS && !strstr(path, "busybox") ? path : NULL;
}

static int parent_of(int pid)
{
	char link[64], text[512];
	snprintf(link, sizeof link, "/proc/%d/stat", pid);
	int fd = open(link, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *end = strrchr(text, ')'); /* of the name, which may hold anything */
	return end && strlen(end) > 4 ? atoi(end + 4) : 0;
}

/* The shell that started us, or the nearest one before what did. */
static const char *shell_before(int pid)
{
	const char *s = NULL;
	for (int i = 0; pid > 0 && !s && i < ANCESTORS_MAX; i++) {
		s = shell_of_process(pid);
		pid = s ? 0 : parent_of(pid);
	}
	return s;
}

/* A plain shell drops the functions that bash exports: where there are some, a bash that is
 * gone by now was the last shell. */
static const char *bash_instead(void)
{
	static const char *const places[] = { "/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash" };
	char **env = environ;
	while (*env && strncmp(*env, "BASH_FUNC_", 10) != 0)
		env++;
	for (size_t i = 0; *env && i < sizeof places / sizeof *places; i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

void shell_choose(struct shell *sh, int ppid)
{
	const char *s = getenv("PARALLEL_SHELL"), *bash;
	bool told = s && *s;
	if (!told)
		s = shell_before(ppid);
	if (!s || !*s)
		s = getenv("SHELL");
	sh->path = s && *s ? s : "/bin/sh";
	size_t i = find_shell(sh->path);
	if (!told && i < NSHELLS && shells[i].plain && (bash = bash_instead())) {
		sh->path = bash;
		i = find_shell(bash);
	}
	sh->kind = i < NSHELLS ? shells[i].kind : SHELL_OTHER;
	sh->quoting = i < NSHELLS ? shells[i].quoting : QUOTE_POSIX;
}

static bool shell_runs_itself(const char *word)
{
	for (size_t i = 0; i < sizeof not_programs / sizeof *not_programs; i++)
		if (!strcmp(word, not_programs[i]))
			return true;
	return false;
}

/* A start-up file or a variable that could change what a word means. */
static bool startup_matters(const struct shell *sh, char *const *env)
{
	const char *home = getenv("ZDOTDIR") ? getenv("ZDOTDIR") : getenv("HOME");
	char file[PATH_MAX];
	if (sh->kind == SHELL_ZSH) {
		snprintf(file, sizeof file, "%s/.zshenv", home ? home : "");
		if (access(file, F_OK) == 0 || access("/etc/zsh/zshenv", F_OK) == 0 ||
		    access("/etc/zshenv", F_OK) == 0)
			return true;
	}
	for (; *env; env++) {
		size_t name = strcspn(*env, "=");
		if (strspn(*env, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                 "0123456789_") != name)
			return true; /* exported functions too: BASH_FUNC_name%% */
		if (!strncmp(*env, "BASH_ENV=", 9) || !strncmp(*env, "SHELLOPTS=", 10) ||
		    !strncmp(*env, "BASHOPTS=", 9) || !strncmp(*env, "ENV=", 4))
			return true;
	}
	return false;
}

bool direct_ok(const struct template *t, const struct shell *sh, char *const *env)
{
	const char *word = template_inert_command(t);
	return word && sh->kind != SHELL_OTHER && !shell_runs_itself(word) &&
	       strchr("%+-", *word) == NULL && !startup_matters(sh, env);
}
