/* test_joblog.c - the job log: byte for byte what GNU parallel's readers expect. */
#include "joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

static char path[] = "/tmp/prong-test-joblog-XXXXXX";

static int make_path(void **state)
{
	(void)state;
	strcpy(strrchr(path, '-'), "-XXXXXX");
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int drop_path(void **state)
{
	(void)state;
	return unlink(path);
}

static void expect(const char *want, size_t len)
{
	char got[1024];
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t n = fread(got, 1, sizeof got, f);
	fclose(f);
	assert_int_equal(n, len);
	assert_memory_equal(got, want, len);
}

static struct prong_result result(int how, int status, int64_t ms)
{
	int64_t start = 1795519403064600000;
	return (struct prong_result){ .how = how, .status = status, .pid = 1, .start_ns = start,
		                      .end_ns = start + ms * 1000000 };
}

static void add(struct joblog *j, uint64_t seq, const char *command, struct prong_result r)
{
	assert_int_equal(joblog_add(j, seq, command, &r, 0, 42), 0);
}

static void lines(void **state)
{
	static const char want[] = HEADER
		"1\t:\t1795519403.065\t     0.016\t0\t42\t3\t0\tsleep 0.01\n"
		"2\t:\t1795519403.065\t  1234.567\t0\t42\t0\t9\tkill\n"
		"3\t:\t1795519403.065\t     1.000\t0\t42\t-1\t15\tsleep 7\n"
		"4\t:\t1795519403.065\t     0.000\t0\t42\t0\t2\ta\tb\n"
		"5\t:\t1795519403.065\t     0.000\t0\t42\t127\t0\tnone\n"
		"6\t:\t1795519403.065\t     0.000\t0\t42\t126\t0\tdir\n";
	struct joblog *j = joblog_open(path, false);
	(void)state;
	assert_non_null(j);
	add(j, 1, "sleep 0.01", result(PRONG_EXITED, 3, 16));
	add(j, 2, "kill", result(PRONG_SIGNALED, SIGKILL, 1234567));
	add(j, 3, "sleep 7", result(PRONG_TIMEDOUT, SIGTERM, 1000));
	add(j, 4, "a\tb", result(PRONG_CANCELLED, SIGINT, 0));
	add(j, 5, "none", result(PRONG_NOTSTARTED, ENOENT, 0));
	add(j, 6, "dir", result(PRONG_NOTSTARTED, EACCES, 0));
	joblog_close(j);
	expect(want, sizeof want - 1);
}

static void newline_becomes_nul(void **state)
{
	static const char want[] =
		HEADER "7\t:\t1795519403.065\t     0.000\t0\t42\t0\t0\t'a\0b\0'\n";
	struct joblog *j = joblog_open(path, false);
	(void)state;
	add(j, 7, "'a\nb\n'", result(PRONG_EXITED, 0, 0));
	joblog_close(j);
	expect(want, sizeof want - 1);
}

static void plus_appends_without_header(void **state)
{
	static const char want[] = "1\t:\t1795519403.065\t     0.000\t0\t42\t0\t0\tx\n"
		                   "2\t:\t1795519403.065\t     0.000\t0\t42\t0\t0\ty\n";
	static const char *const commands[] = { "x", "y" };
	char plus[sizeof path + 1];
	(void)state;
	snprintf(plus, sizeof plus, "+%s", path);
	for (uint64_t i = 0; i < 2; i++) {
		struct joblog *j = joblog_open(plus, false);
		add(j, i + 1, commands[i], result(PRONG_EXITED, 0, 0));
		joblog_close(j);
	}
	expect(want, sizeof want - 1);
}

static void old_log_is_overwritten(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct joblog *j = joblog_open(path, false);
		if (i == 0)
			add(j, 1, "x", result(PRONG_EXITED, 0, 0));
		joblog_close(j);
	}
	expect(HEADER, sizeof HEADER - 1);
}

static void errors(void **state)
{
	struct prong_result r = result(PRONG_EXITED, 0, 0);
	(void)state;
	assert_null(joblog_open("/nonexistent/dir/log", false));
	assert_null(joblog_open("/dev/full", false)); /* the header does not fit */
	struct joblog *j = joblog_open("+/dev/full", false);
	assert_non_null(j);
	assert_int_equal(joblog_add(j, 1, "x", &r, 0, 0), -ENOSPC);
	joblog_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines, make_path, drop_path),
		cmocka_unit_test_setup_teardown(newline_becomes_nul, make_path, drop_path),
		cmocka_unit_test_setup_teardown(plus_appends_without_header, make_path, drop_path),
		cmocka_unit_test_setup_teardown(old_log_is_overwritten, make_path, drop_path),
		cmocka_unit_test(errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
