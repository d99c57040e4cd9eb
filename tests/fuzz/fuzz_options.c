/* Command lines, $PARALLEL and configuration of any words: accepted, or refused in one line. */
#include "fuzz.h"
#include "options.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS = 40 };

static int kept_stderr, text;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	setenv("HOME", "/nonexistent/home", 1);
	unsetenv("PARALLEL_HOME");
	unsetenv("XDG_CONFIG_HOME");
	kept_stderr = dup(STDERR_FILENO);
	text = memfd_create("stderr", MFD_CLOEXEC);
	dup2(open("/dev/null", O_RDWR), STDOUT_FILENO);
	return 0;
}

/* What it wrote to standard error. */
static size_t lines(char *buf, size_t size)
{
	size_t n = 0;
	ssize_t len = pread(text, buf, size - 1, 0);
	buf[len > 0 ? len : 0] = '\0';
	for (char *p = buf; *p; p++)
		n += *p == '\n';
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cut c = cut_new(data, size);
	char *argv[WORDS + 2] = { "prong" }, *env = cut_string(&c), said[8192];
	struct config cfg;
	int argc = 1;
	while (argc <= WORDS && c.at < c.end) {
		argv[argc] = cut_string(&c);
		/* files that have no end, or are not ours */
		if (argv[argc][strcspn(argv[argc], "/")] && strncmp(argv[argc], ":::", 3) != 0)
			break;
		argc++;
	}
	argv[argc] = NULL;
	if (strchr(env, '/') || size > 3000) {
		cut_free(&c);
		return 0;
	}
	setenv("PARALLEL", env, 1);
	CHECK(ftruncate(text, 0) == 0 && lseek(text, 0, SEEK_SET) == 0);
	dup2(text, STDERR_FILENO);
	int status = options_parse(&cfg, argc, argv);
	dup2(kept_stderr, STDERR_FILENO);
	size_t n = lines(said, sizeof said);
	CHECK(status == -1 || status == 0 || status == 255);
	if (status == 255 && (n < 1 || n > 40 || strlen(said) < 10)) /* warnings may precede */ {
		fprintf(stderr, "refused with %zu lines: %s\n", n, said);
		abort();
	}
	if (status == -1)
		CHECK(cfg.command && !cfg.command[cfg.ncommand]);
	cut_free(&c);
	return 0;
}
