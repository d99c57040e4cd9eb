/* direct.c - which shell runs the jobs, and when none is needed.  Reads /proc and $SHELL. */
#include "template.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum shell_kind { SHELL_OTHER, SHELL_POSIX, SHELL_BASH, SHELL_ZSH };

static const struct {
	const char *name;
	enum shell_kind kind;
} shells[] = {
	{ "bash", SHELL_BASH }, { "dash", SHELL_POSIX },    { "ksh93", SHELL_POSIX },
	{ "ksh", SHELL_POSIX }, { "mksh", SHELL_POSIX },    { "zsh", SHELL_ZSH },
	{ "sh", SHELL_POSIX },  { "busybox", SHELL_POSIX }, { "zsh5", SHELL_ZSH },
};

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

static enum shell_kind kind_of(const char *path)
{
	char real[PATH_MAX];
	const char *name = realpath(path, real) ? real : path;
	const char *slash = strrchr(name, '/');
	name = slash ? slash + 1 : name;
	for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
		if (!strcmp(name, shells[i].name))
			return shells[i].kind;
	return SHELL_OTHER;
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
	return kind_of(path) != SHELL_OTHER && !strstr(path, "busybox") ? path : NULL;
}

void shell_choose(struct shell *sh, int ppid)
{
	const char *s = getenv("PARALLEL_SHELL");
	if (!s || !*s)
		s = shell_of_process(ppid);
	if (!s || !*s)
		s = getenv("SHELL");
	sh->path = s && *s ? s : "/bin/sh";
	sh->kind = kind_of(sh->path);
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
