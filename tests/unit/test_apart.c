/* test_apart.c - children that go their way to exec beside us: what they share, how they fail. */
#include <prong.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool-rig.h"

static char dir[] = "/tmp/prong-apartXXXXXX";

/* The first of a process is always waited for. */
static struct prong *warm_pool(unsigned jobs)
{
	struct prong *p = open_pool(jobs);
	char *argv[] = { "true", NULL };
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
	assert_int_equal(next_done(p)->result->status, 0);
	return p;
}

static void assert_output(const struct prong_event *ev, const char *want)
{
	char buf[256];
	ssize_t n = pread(ev->result->out.fd, buf, sizeof buf, 0);
	assert_int_equal(ev->result->how, PRONG_EXITED);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(buf, want, strlen(want));
}

static void script(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
}

/* Every step's failure is told as if we had waited for it, and disturbs no other job. */
static void failures_are_told(void **state)
{
	struct prong *p = warm_pool(4);
	char *fine[] = { "echo", "fine", NULL };
	static char big[200000];
	memset(big, 'x', sizeof big - 1);
	char *longer[] = { "echo", big, NULL };
	const struct prong_event *ev;
	intptr_t ok = 0, bad = 0;
	(void)state;
	for (intptr_t i = 0; i < 90; i++) {
		struct prong_spec s = { .size = sizeof s, .argv = fine, .tag = (void *)(i % 4) };
		if (i % 4 == 1)
			s.path = "/etc/passwd";
		else if (i % 4 == 2)
			s.cwd = "/no/such/directory";
		else if (i % 4 == 3)
			s.argv = longer;
		assert_true(prong_submit(p, &s) > 0);
	}
	while ((ev = next_done(p))) {
		const int step[] = { 0, PRONG_STEP_EXEC, PRONG_STEP_CHDIR, PRONG_STEP_EXEC };
		const int error[] = { 0, EACCES, ENOENT, E2BIG };
		intptr_t kind = (intptr_t)ev->tag;
		if (kind == 0) {
			assert_output(ev, "fine\n");
			ok++;
			continue;
		}
		assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
		assert_int_equal(ev->result->step, step[kind]);
		assert_int_equal(ev->result->status, error[kind]);
		assert_int_equal(ev->result->pid, 0);
		bad++;
	}
	assert_int_equal(ok, 23);
	assert_int_equal(bad, 67);
	close_pool(p);
}

/* A program found in $PATH earlier has gone: looked for again, and it runs. */
static void a_moved_program_is_found_again(void **state)
{
	char path[600], *old = strdup(getenv("PATH")), *argv[] = { "tool", NULL }, file[300];
	(void)state;
	snprintf(path, sizeof path, "%s/a:%s/b:%s", dir, dir, old);
	setenv("PATH", path, 1);
	script("a/tool", "echo a");
	script("b/tool", "echo b");
	struct prong *p = warm_pool(1);
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
	assert_output(next_done(p), "a\n");
	snprintf(file, sizeof file, "%s/a/tool", dir);
	unlink(file);
	for (int i = 0; i < 3; i++) {
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
		assert_output(next_done(p), "b\n");
	}
	snprintf(file, sizeof file, "%s/b/tool", dir);
	unlink(file);
	assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
	const struct prong_event *ev = next_done(p);
	assert_int_equal(ev->result->how, PRONG_NOTSTARTED);
	assert_int_equal(ev->result->status, ENOENT);
	setenv("PATH", old, 1);
	free(old);
	close_pool(p);
}

/* More names than the table of $PATH holds: it is forgotten with children on their way, and
 * each still runs its own program. */
static void a_forgotten_table_misleads_nobody(void **state)
{
	enum { NAMES = 1500 };
	static char name[NAMES][16];
	char path[600], *old = strdup(getenv("PATH")), file[300];
	const struct prong_event *ev;
	int done = 0;
	(void)state;
	snprintf(path, sizeof path, "%s/a:%s", dir, old);
	setenv("PATH", path, 1);
	script("b/names", "echo ${0##*/}");
	struct prong *p = warm_pool(8);
	for (int i = 0; i < NAMES; i++) {
		char *argv[] = { name[i], NULL };
		snprintf(name[i], sizeof name[i], "n%04d", i);
		snprintf(file, sizeof file, "%s/a/n%04d", dir, i);
		assert_int_equal(symlink("../b/names", file), 0);
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv, .tag = name[i])) > 0);
	}
	while ((ev = next_done(p))) {
		char want[20];
		snprintf(want, sizeof want, "%.15s\n", (char *)ev->tag);
		assert_output(ev, want);
		done++;
	}
	assert_int_equal(done, NAMES);
	for (int i = 0; i < NAMES; i++) {
		snprintf(file, sizeof file, "%s/a/n%04d", dir, i);
		unlink(file);
	}
	snprintf(file, sizeof file, "%s/b/names", dir);
	unlink(file);
	setenv("PATH", old, 1);
	free(old);
	close_pool(p);
}

/* A job gets the environment of the moment it was started, whatever the host does next. */
static void the_environment_is_of_the_start(void **state)
{
	struct prong *p = warm_pool(3);
	const struct prong_event *ev;
	char *argv[] = { "sh", "-c", "echo $NOW", NULL }, now[32];
	static char want[200][16];
	int started = 0, done = 0;
	(void)state;
	snprintf(now, sizeof now, "NOW=%07d", 0);
	putenv(now);
	for (int i = 0; i < 120; i++)
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv, .tag = want[i])) > 0);
	while (prong_wait(p, &ev, 60000) == 1) {
		if (ev->type == PRONG_STARTED) {
			snprintf(ev->tag, sizeof want[0], "%07d\n", started);
			snprintf(now, sizeof now, "NOW=%07d", ++started);
		} else if (ev->type == PRONG_DONE) {
			assert_output(ev, ev->tag);
			done++;
		}
	}
	assert_int_equal(started, 120);
	assert_int_equal(done, 120);
	unsetenv("NOW");
	close_pool(p);
}

/* Stopped or signalled in the first moment. */
static void stopped_on_its_way(void **state)
{
	struct prong *p = warm_pool(2);
	const struct prong_event *ev;
	char *argv[] = { "sleep", "100", NULL };
	int done = 0;
	(void)state;
	for (int i = 0; i < 60; i++)
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
	while (prong_wait(p, &ev, 60000) == 1) {
		if (ev->type == PRONG_STARTED && ev->id % 2)
			assert_int_equal(prong_signal(p, ev->id, SIGKILL), 0);
		else if (ev->type == PRONG_STARTED)
			assert_int_equal(prong_stop(p, ev->id), 0);
		else if (ev->type == PRONG_DONE) {
			assert_int_equal(ev->result->how,
			                 ev->id % 2 ? PRONG_SIGNALED : PRONG_CANCELLED);
			done++;
		}
	}
	assert_int_equal(done, 60);
	close_pool(p);
}

/* More at once than there are pads; a pool closed while they are on their way. */
static void many_at_once(void **state)
{
	struct prong *p = warm_pool(40);
	const struct prong_event *ev;
	char *argv[] = { "echo", "x", NULL }, *sleeper[] = { "sleep", "100", NULL };
	int done = 0;
	(void)state;
	for (int i = 0; i < 400; i++)
		assert_true(prong_submit(p, PRONG_SPEC(.argv = argv)) > 0);
	while ((ev = next_done(p))) {
		assert_output(ev, "x\n");
		done++;
	}
	assert_int_equal(done, 400);
	for (int i = 0; i < 40; i++)
		assert_true(prong_submit(p, PRONG_SPEC(.argv = sleeper)) > 0);
	for (int i = 0; i < 30; i++)
		assert_int_equal(prong_wait(p, &ev, 60000), 1);
	close_pool(p);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* No handler of ours runs in a child, and what we ignore it ignores. */
static void handlers_stay_here(void **state)
{
	struct prong *p = warm_pool(2);
	char *argv[] = { "sh", "-c", "kill -USR1 $$; echo survived", NULL };
	char *deaf[] = { "sh", "-c", "kill -USR2 $$; echo survived", NULL };
	(void)state;
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);
	for (int i = 0; i < 20; i++) {
		assert_true(prong_submit(p, PRONG_SPEC(.argv = i % 2 ? argv : deaf)) > 0);
		const struct prong_event *ev = next_done(p);
		if (i % 2) {
			assert_int_equal(ev->result->how, PRONG_SIGNALED);
			assert_int_equal(ev->result->status, SIGUSR1);
		} else {
			assert_output(ev, "survived\n");
		}
	}
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	close_pool(p);
}

static int set_up(void **state)
{
	char sub[64];
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(sub, sizeof sub, "%s/a", dir);
	if (mkdir(sub, 0755) != 0)
		return -1;
	snprintf(sub, sizeof sub, "%s/b", dir);
	return mkdir(sub, 0755);
}

static int tear_down(void **state)
{
	char sub[64];
	(void)state;
	snprintf(sub, sizeof sub, "%s/a", dir);
	rmdir(sub);
	snprintf(sub, sizeof sub, "%s/b", dir);
	rmdir(sub);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_told),
		cmocka_unit_test(a_moved_program_is_found_again),
		cmocka_unit_test(a_forgotten_table_misleads_nobody),
		cmocka_unit_test(the_environment_is_of_the_start),
		cmocka_unit_test(stopped_on_its_way),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(handlers_stay_here),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
