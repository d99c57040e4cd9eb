/* test_progress.c - the status line on pipes and pseudo-terminals, and the summary. */
#include "progress.h"
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static const struct config bar = { .bar = true };
static const struct config status = { .progress = true, .eta = true };

/* What has been written to a pipe or terminal so far.  The kernel hands on what is written to a
 * terminal a little later. */
static const char *taken(int fd)
{
	static char text[4096];
	size_t have = 0;
	bool tty = isatty(fd);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (ssize_t n = 1; n > 0 && poll(&pfd, 1, !tty ? 0 : have ? 20 : 1000) > 0; have += (size_t)n)
		if ((n = read(fd, text + have, sizeof text - 1 - have)) < 0)
			n = 0;
	text[have] = '\0';
	return text;
}

static struct progress_state at(double now, uint64_t done, int64_t total)
{
	return (struct progress_state){ .done = done, .started = done + 2, .total = total,
		                        .running = 2, .slots = 2, .now = now, .failed = 1,
		                        .last_arg = "arg" };
}

static void update(struct progress *p, double now, uint64_t done, int64_t total)
{
	struct progress_state s = at(now, done, total);
	progress_update(p, &s);
}

static void end(struct progress *p, double now, uint64_t done, int64_t total)
{
	struct progress_state s = at(now, done, total);
	progress_end(p, &s);
}

static void nothing_asked(void **state)
{
	static const struct config none = { .jobs = NULL };
	(void)state;
	assert_null(progress_new(&none, 2, 1));
}

static void plain_lines_on_a_pipe(void **state)
{
	int fd[2];
	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	struct progress *p = progress_new(&bar, fd[1], 1);
	update(p, 100, 0, 4);
	update(p, 100.5, 1, 4);
	assert_string_equal(taken(fd[0]), "");
	assert_float_equal(progress_next(p, 100.5), 0.5, 1e-6);
	update(p, 101, 1, 4);
	assert_string_equal(taken(fd[0]), "25% 1:3=3s arg\n");
	assert_true(progress_next(p, 101) < 0);
	update(p, 103, 1, 4); /* nothing new: no line */
	progress_hide(p);
	assert_string_equal(taken(fd[0]), "");
	for (int i = 0; i < 100; i++)
		update(p, 103 + i / 1000.0, 2, 4);
	assert_string_equal(taken(fd[0]), "50% 2:2=3s arg\n");
	end(p, 104, 4, 4);
	assert_string_equal(taken(fd[0]), "100% 4:0=0s arg\n");
	close(fd[0]);
	close(fd[1]);
}

static void status_words(void **state)
{
	int fd[2];
	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	struct progress *p = progress_new(&status, fd[1], 1);
	update(p, 0, 0, -1);
	update(p, 10, 2, -1);
	assert_string_equal(taken(fd[0]), "2 running, 2 done, 1 failed, 5 s/job\n");
	update(p, 20, 4, 1000);
	assert_string_equal(taken(fd[0]),
	                    "2 running, 4 of 1000 done, 1 failed, 5 s/job, ETA 1h23m\n");
	end(p, 20, 4, 4);
	close(fd[0]);
	close(fd[1]);
}

static void open_terminal(int *master, int *slave)
{
	struct winsize ws = { .ws_row = 24, .ws_col = 21 };
	struct termios raw;
	memset(&raw, 0, sizeof raw);
	assert_int_equal(openpty(master, slave, NULL, NULL, &ws), 0);
	assert_int_equal(tcgetattr(*slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(*slave, TCSANOW, &raw), 0);
}

static void bar_on_a_terminal(void **state)
{
	int m, s;
	(void)state;
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	open_terminal(&m, &s);
	struct progress *p = progress_new(&bar, s, 1);
	update(p, 0, 0, 4);
	assert_string_equal(taken(m), "\r\033[7m\033[0m0% 0:4=? arg        \033[K");
	update(p, 0.05, 1, 4); /* too soon */
	assert_string_equal(taken(m), "");
	assert_float_equal(progress_next(p, 0.05), 0.05, 1e-6);
	update(p, 0.1, 2, 4);
	assert_string_equal(taken(m), "\r\033[7m50% 2:2=0s\033[0m arg      \033[K");
	progress_hide(p);
	assert_string_equal(taken(m), "\r\033[K");
	progress_hide(p);
	assert_string_equal(taken(m), "");
	end(p, 1, 4, 4);
	assert_string_equal(taken(m), "\r\033[7m100% 4:0=0s arg     \033[0m\033[K\n");
	close(s);
	close(m);
}

static void no_color_and_dumb(void **state)
{
	int m, s;
	(void)state;
	setenv("NO_COLOR", "1", 1);
	open_terminal(&m, &s);
	struct progress *p = progress_new(&bar, s, 1);
	update(p, 0, 1, 4);
	assert_string_equal(taken(m), "\r25% 1:3=0s arg\033[K");
	end(p, 0, 4, 4);
	taken(m);
	unsetenv("NO_COLOR");
	setenv("TERM", "dumb", 1);
	p = progress_new(&bar, s, 1);
	update(p, 0, 4, 4);
	assert_string_equal(taken(m), "\r100% 4:0=0s arg");
	update(p, 1, 4, 5); /* shorter: blanks over the rest */
	assert_string_equal(taken(m), "\r80% 4:1=0s arg ");
	progress_hide(p);
	assert_string_equal(taken(m), "\r              \r");
	end(p, 1, 5, 5);
	close(s);
	close(m);
}

static void text_is_cut_and_defused(void **state)
{
	struct buf b = { 0 };
	(void)state;
	setenv("LC_ALL", "C.UTF-8", 1);
	assert_int_equal(screen_text(&b, "a\033[31m\tb", 80, 0), 8);
	assert_string_equal(b.s, "a [31m b");
	buf_clear(&b);
	screen_text(&b, "\033\n\x7f", 80, 1);
	assert_string_equal(b.s, "\\x1b\\n\\x7f");
	buf_clear(&b);
	assert_int_equal(screen_text(&b, "\xe6\x97\xa5\xe6\x9c\xac\xc3\xa9", 3, 0), 2);
	assert_string_equal(b.s, "\xe6\x97\xa5"); /* two columns; the next would be too many */
	buf_clear(&b);
	assert_int_equal(screen_text(&b, "\xff\xc2\x9b\xc3", 80, 0), 3); /* bad, C1, cut off */
	assert_string_equal(b.s, "???");
	buf_clear(&b);
	screen_cut(&b, "0123456789", 10);
	screen_cut(&b, "0123456789x", 10);
	assert_string_equal(b.s, "01234567890123456...");
	setenv("LC_ALL", "C", 1);
	buf_clear(&b);
	assert_int_equal(screen_text(&b, "\xc3\xa9", 80, 0), 2);
	assert_string_equal(b.s, "??");
	buf_free(&b);
}

/* ---- summary ---- */

static void add(struct summary *s, uint64_t seq, int how, int status_, int sent, bool oom,
                const char *last)
{
	struct prong_result r = { .how = how, .status = status_, .sent = sent,
		                  .step = PRONG_STEP_EXEC };
	summary_add(s, seq, "run me\nnow", &r, oom, last);
}

static void summary_words(void **state)
{
	int fd[2];
	struct summary *s = summary_new();
	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	summary_print(s, fd[1], 5);
	assert_string_equal(taken(fd[0]), "");
	add(s, 1, PRONG_SIGNALED, SIGKILL, 0, true, NULL);
	add(s, 2, PRONG_EXITED, 2, 0, false, "bad: \033[31mred");
	add(s, 3, PRONG_EXITED, 2, 0, false, NULL);
	add(s, 4, PRONG_SIGNALED, SIGTERM, SIGTERM, false, NULL);
	add(s, 5, PRONG_SIGNALED, SIGSEGV, 0, false, NULL);
	add(s, 6, PRONG_NOTSTARTED, ENOENT, 0, false, NULL);
	add(s, 7, PRONG_TIMEDOUT, SIGTERM, SIGTERM, false, NULL);
	summary_print(s, fd[1], 1000);
	const char *got = taken(fd[0]);
	static const char *const want[] = {
		"prong: 7 of 1000 jobs failed: 2 exit 2, ",
		"1 killed by signal 9 (SIGKILL, out of memory)",
		"\n  job 1: killed by signal 9 (SIGKILL, out of memory): run me\\nnow\n",
		"\n  job 2: exit 2: run me\\nnow: bad: \\x1b[31mred\n",
		"\n  job 4: killed by signal 15 (SIGTERM, sent by prong): run",
		"\n  job 5: killed by signal 11 (SIGSEGV): run",
		"\n  job 6: could not start: exec: No such file or directory: run",
		"\n  job 7: timed out: run",
	};
	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		if (!strstr(got, want[i]))
			fail_msg("not found: %s\nin: %s", want[i], got);
	summary_free(s);
	close(fd[0]);
	close(fd[1]);
}

static void summary_of_the_lost(void **state)
{
	int fd[2];
	struct summary *s = summary_new();
	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	add(s, 1, PRONG_LOST, ENOSPC, 0, false, NULL);
	add(s, 2, PRONG_LOST, 0, 0, false, NULL);
	summary_print(s, fd[1], 2);
	const char *got = taken(fd[0]);
	assert_non_null(strstr(got, "\n  job 1: its output could not be kept: No space left on device"));
	assert_non_null(strstr(got, "\n  job 2: lost: somebody else took its exit status"));
	summary_free(s);
	close(fd[0]);
	close(fd[1]);
}

static void summary_of_many(void **state)
{
	int fd[2];
	struct summary *s = summary_new();
	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	for (int i = 0; i < 3000; i++)
		add(s, (uint64_t)i + 1, PRONG_EXITED, i % 100 + 1, 0, false, NULL);
	summary_print(s, fd[1], 3000);
	const char *got = taken(fd[0]);
	assert_non_null(strstr(got, "3000 of 3000 jobs failed: 30 exit "));
	assert_non_null(strstr(got, ", 2790 in other ways\n"));
	assert_non_null(strstr(got, "\n  job 10: exit 10: run"));
	assert_null(strstr(got, "job 11:"));
	assert_non_null(strstr(got, "\n  and 2990 more\n"));
	summary_free(s);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked),
		cmocka_unit_test(plain_lines_on_a_pipe),
		cmocka_unit_test(status_words),
		cmocka_unit_test(bar_on_a_terminal),
		cmocka_unit_test(no_color_and_dumb),
		cmocka_unit_test(text_is_cut_and_defused),
		cmocka_unit_test(summary_words),
		cmocka_unit_test(summary_of_the_lost), cmocka_unit_test(summary_of_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
