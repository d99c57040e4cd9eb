/* test_target.c - sinks and copies whose targets fail, are slow, or are of an odd kind. */
#include "sink-rig.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

static void full_device(void **state)
{
	struct rig r;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	(void)state;
	rig_open(&r, OUTPUT_GROUP, false);
	struct sink *s = sink_new(&r.cfg, full, r.fd[1]);
	done(s, 1, NULL, NULL, "text", NULL);
	assert_int_equal(sink_flush(s), -ENOSPC);
	assert_string_equal(sink_error(s),
	                    "cannot write to standard output: No space left on device");
	assert_int_equal(done(s, 2, NULL, NULL, "more", NULL), -ENOSPC);
	sink_free(s);
	close(full);
	rig_close(&r, "", "");
}

static void nobody_reads(void **state)
{
	struct rig r;
	int p[2];
	char *text = calloc(1, 200001);
	(void)state;
	memset(text, 'x', 200000);
	signal(SIGPIPE, SIG_IGN);
	rig_open(&r, OUTPUT_GROUP, false);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	close(p[0]);
	struct sink *s = sink_new(&r.cfg, p[1], r.fd[1]);
	assert_int_equal(done(s, 1, NULL, NULL, text, NULL), -EPIPE);
	sink_free(s);
	close(p[1]);
	free(text);
	rig_close(&r, "", "");
}

static void bad_spool(void **state)
{
	struct rig r;
	char *text = calloc(1, 200001);
	(void)state;
	memset(text, 'x', 200000);
	rig_open(&r, OUTPUT_GROUP, true);
	r.cfg.tmpdir = "/nonexistent";
	struct sink *s = sink_new(&r.cfg, r.fd[0], r.fd[1]);
	assert_int_equal(done(s, 2, NULL, NULL, text, NULL), -ENOENT);
	assert_string_equal(sink_error(s), "cannot hold output in /nonexistent: "
	                                   "No such file or directory");
	sink_free(s);
	free(text);
	rig_close(&r, "", "");
}

static void shrunken_capture_is_told(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, OUTPUT_GROUP, false);
	int fd = file_of("abc", 3);
	struct output o = { .seq = 1, .fd = { fd, -1 }, .len = { 5 } };
	assert_int_equal(sink_done(r.s, &o), -ENODATA);
	assert_non_null(strstr(sink_error(r.s), "cut short"));
	close(fd);
	close(r.fd[0]);
	close(r.fd[1]);
	sink_free(r.s);
}

struct reader {
	int fd;
	size_t got;
};

static void *read_slowly(void *arg)
{
	struct reader *r = arg;
	char buf[50000];
	ssize_t n;
	while ((n = read(r->fd, buf, sizeof buf)) > 0) {
		r->got += (size_t)n;
		usleep(2000);
	}
	return NULL;
}

/* A nonblocking pipe that is full again and again. */
static void nonblocking_pipe(void **state)
{
	enum { N = 2000000 };
	struct rig r;
	struct reader rd = { 0 };
	struct sink_patience never = { .fd = -1 };
	int p[2];
	(void)state;
	for (int patient = 0; patient < 2; patient++) {
		pthread_t th;
		char *text = calloc(1, N + 1);
		memset(text, 'x', N);
		rig_open(&r, OUTPUT_GROUP, false);
		assert_int_equal(pipe2(p, O_CLOEXEC | (patient ? 0 : O_NONBLOCK)), 0);
		fcntl(p[0], F_SETFL, 0);
		rd = (struct reader){ .fd = p[0] };
		pthread_create(&th, NULL, read_slowly, &rd);
		struct sink *s = sink_new(&r.cfg, p[1], r.fd[1]);
		if (patient)
			sink_be_patient(s, &never);
		assert_int_equal(done(s, 1, NULL, NULL, text, NULL), 0);
		assert_int_equal(done(s, 2, NULL, NULL, "y", NULL), 0);
		assert_int_equal(sink_flush(s), 0);
		sink_free(s);
		close(p[1]);
		pthread_join(th, NULL);
		close(p[0]);
		assert_int_equal(rd.got, N + 1);
		free(text);
		rig_close(&r, "", "");
	}
}

static bool give_up(void *arg)
{
	char c;
	int *fd = arg;
	return read(fd[0], &c, 1) == 1 && ++fd[2] < 3;
}

/* Nobody reads: waiting ends when the watched fd says so, the third time. */
static void patience_ends(void **state)
{
	struct rig r;
	int p[2], sig[3] = { 0 };
	char *text = calloc(1, 200001);
	(void)state;
	memset(text, 'x', 200000);
	rig_open(&r, OUTPUT_GROUP, false);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(pipe2(sig, O_CLOEXEC), 0);
	assert_int_equal(write(sig[1], "abc", 3), 3);
	struct sink_patience pat = { .fd = sig[0], .go_on = give_up, .arg = sig };
	struct sink *s = sink_new(&r.cfg, p[1], r.fd[1]);
	sink_be_patient(s, &pat);
	assert_int_equal(done(s, 1, NULL, NULL, text, NULL), -EINTR);
	assert_int_equal(sig[2], 3);
	assert_int_equal(sink_flush(s), -EINTR);
	sink_free(s);
	int all[] = { p[0], p[1], sig[0], sig[1] };
	for (int i = 0; i < 4; i++)
		close(all[i]);
	free(text);
	rig_close(&r, "", "");
}

static void copies_to_any_target(void **state)
{
	static const int flags[] = { O_RDWR, O_RDWR | O_APPEND };
	enum { N = 1000003 };
	char *text = malloc(N), *got;
	size_t len;
	(void)state;
	for (size_t i = 0; i < N; i++)
		text[i] = (char)(i * 7 + i / 256);
	int from = file_of(text, N);
	for (int i = 0; i < 2; i++) {
		int to = open("/tmp", O_TMPFILE | O_CLOEXEC | flags[i], 0600);
		assert_int_equal(copy_range(from, 3, N - 3, to), 0);
		assert_int_equal(copy_range(from, 0, 3, to), 0);
		got = slurp(to, &len);
		assert_int_equal(len, N);
		assert_memory_equal(got, text + 3, N - 3);
		assert_memory_equal(got + N - 3, text, 3);
		assert_int_equal(copy_range(from, 3, N, to), -ENODATA);
		free(got);
		close(to);
	}
	close(from);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_device),
		cmocka_unit_test(nobody_reads),
		cmocka_unit_test(bad_spool),
		cmocka_unit_test(shrunken_capture_is_told),
		cmocka_unit_test(nonblocking_pipe),
		cmocka_unit_test(patience_ends),
		cmocka_unit_test(copies_to_any_target),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
