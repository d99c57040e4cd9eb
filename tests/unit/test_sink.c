/* test_sink.c - sinks: tags, order, half lines, the spool, memory. */
#include "order.h"
#include "sink-rig.h"

static void group_prints_at_once(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, OUTPUT_GROUP, false);
	assert_int_equal(done(r.s, 2, NULL, NULL, "two\n", "e2\n"), 0);
	assert_int_equal(done(r.s, 1, NULL, "cmd", "one", NULL), 0);
	assert_int_equal(done(r.s, 3, NULL, NULL, "", ""), 0);
	rig_close(&r, "two\ncmd\none", "e2\n");
}

static void tags_every_line(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, OUTPUT_GROUP, false);
	done(r.s, 1, "t", "head", "a\n\nb", "x\ny");
	done(r.s, 2, "", NULL, "c\n", NULL);
	done(r.s, 3, "none", NULL, "", "");
	rig_close(&r, "t\thead\nt\ta\nt\t\nt\tb\tc\n", "t\tx\nt\ty");
}

/* stdout and stderr of one terminal: what came first is written first. */
static void streams_stay_in_order(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, OUTPUT_GROUP, false);
	struct sink *s = sink_new(&r.cfg, r.fd[0], r.fd[0]);
	done(s, 1, NULL, NULL, "o1\n", "e1\n");
	done(s, 2, NULL, NULL, "o2\n", "e2\n");
	assert_int_equal(sink_flush(s), 0);
	sink_free(s);
	rig_close(&r, "o1\ne1\no2\ne2\n", "");
}

static void keep_order_with_skips(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, OUTPUT_GROUP, true);
	done(r.s, 3, "t3", "h3", "three", "e3");
	done(r.s, 5, NULL, NULL, "five\n", NULL);
	done(r.s, 2, NULL, NULL, NULL, "e2\n");
	assert_int_equal(sink_skip(r.s, 4), 0);
	done(r.s, 1, NULL, NULL, "one\n", NULL);
	rig_close(&r, "one\nt3\th3\nt3\tthreefive\n", "e2\nt3\te3");
}

/* All permutations of sizes around every threshold, in reverse and shuffled order. */
static void keep_order_sizes(void **state)
{
	static const int64_t sizes[] = { 0, 1, 100, 32767, 32768, 32769, 65535, 65536, 65537,
		                         131072, 131073, 3000000 };
	enum { N = sizeof sizes / sizeof *sizes };
	(void)state;
	for (int pass = 0; pass < 4; pass++) {
		struct rig r;
		char *want = malloc(8000000), *p = want;
		int order[N], fds[N];
		rig_open(&r, OUTPUT_GROUP, true);
		for (int i = 0; i < N; i++) {
			memset(p, 'a' + i, (size_t)sizes[i]);
			fds[i] = file_of(p, (size_t)sizes[i]);
			p += sizes[i];
			order[i] = pass == 0 ? i : N - 1 - i;
		}
		*p = '\0';
		for (int i = N - 1; pass >= 2 && i > 0; i--) {
			int j = rand() % (i + 1), t = order[i];
			order[i] = order[j];
			order[j] = t;
		}
		for (int i = 0; i < N; i++) {
			int k = order[i];
			struct output o = { .seq = (uint64_t)k + 1, .fd = { fds[k], -1 },
				            .len = { sizes[k] } };
			assert_int_equal(sink_done(r.s, &o), 0);
			close(fds[k]);
		}
		rig_close(&r, want, "");
		free(want);
	}
}

static void tagged_big(void **state)
{
	struct rig r;
	size_t n = 300000, len;
	char *text = malloc(n + 1), *got;
	(void)state;
	for (size_t i = 0; i < n; i++)
		text[i] = i % 150000 == 149999 ? '\n' : 'x';
	text[n] = '\0';
	rig_open(&r, OUTPUT_GROUP, true);
	done(r.s, 2, "tag", NULL, text, NULL);
	done(r.s, 1, NULL, NULL, NULL, NULL);
	sink_flush(r.s);
	got = slurp(r.fd[0], &len);
	assert_int_equal(len, n + 8);
	assert_memory_equal(got, "tag\tx", 5);
	assert_memory_equal(got + 150004, "tag\tx", 5);
	free(got);
	free(text);
	rig_close(&r, NULL, "");
}

static void data(struct sink *s, uint64_t seq, const char *tag, int stream, const char *text)
{
	assert_int_equal(sink_data(s, seq, tag, stream, text, strlen(text)), 0);
}

static void half_lines_wait(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, OUTPUT_LINE, false);
	data(r.s, 1, "a", 1, "one ");
	data(r.s, 2, "b", 1, "two\nthr");
	data(r.s, 1, "a", 1, "line\nrest");
	data(r.s, 2, "b", 1, "ee");
	data(r.s, 2, "b", 2, "err");
	done(r.s, 2, "b", NULL, NULL, NULL);
	done(r.s, 1, "a", NULL, NULL, NULL);
	rig_close(&r, "b\ttwo\na\tone line\nb\tthreea\trest", "b\terr");
}

static void line_mode_keeps_order(void **state)
{
	struct rig r;
	char *text;
	(void)state;
	rig_open(&r, OUTPUT_LINE, true);
	data(r.s, 2, "t", 1, "b1\nb2");
	data(r.s, 3, "u", 1, "c1\nc2");
	data(r.s, 1, "s", 1, "a1\na2");
	done(r.s, 3, "u", NULL, NULL, NULL);
	sink_flush(r.s);
	text = slurp(r.fd[0], NULL);
	assert_string_equal(text, "s\ta1\n");
	free(text);
	done(r.s, 1, "s", NULL, NULL, NULL);
	sink_flush(r.s);
	text = slurp(r.fd[0], NULL);
	assert_string_equal(text, "s\ta1\ns\ta2t\tb1\n"); /* live from now on */
	free(text);
	data(r.s, 2, "t", 1, "+\n");
	done(r.s, 2, "t", NULL, NULL, NULL);
	rig_close(&r, "s\ta1\ns\ta2t\tb1\nt\tb2+\nu\tc1\nu\tc2", "");
}

/* Lines far longer than any buffer, of two jobs at once, never mixed. */
static void long_lines(void **state)
{
	static const bool keeps[] = { false, true };
	char block[10001];
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct rig r;
		size_t len, n = 2000000;
		rig_open(&r, OUTPUT_LINE, keeps[k]);
		for (int i = 0; i < 200; i++)
			for (uint64_t seq = 2; seq > 0; seq--) {
				memset(block, seq == 1 ? 'a' : 'b', 10000);
				block[10000] = '\0';
				data(r.s, seq, "t", 1, block);
			}
		data(r.s, 2, "t", 1, "\n");
		data(r.s, 1, "t", 1, "\n");
		done(r.s, 1, "t", NULL, NULL, NULL);
		done(r.s, 2, "t", NULL, NULL, NULL);
		sink_flush(r.s);
		char *got = slurp(r.fd[0], &len);
		assert_int_equal(len, 2 * (n + 3));
		for (size_t i = 0; i < 2; i++) {
			char *line = got + i * (n + 3), c = (i == 0) == keeps[k] ? 'a' : 'b';
			assert_memory_equal(line, "t\t", 2);
			assert_int_equal(line[n + 2], '\n');
			for (size_t j = 0; j < n; j++)
				if (line[2 + j] != c)
					fail_msg("mixed at %zu", j);
		}
		free(got);
		rig_close(&r, NULL, "");
	}
}

static void order_ring_grows(void **state)
{
	struct order o;
	int64_t at;
	(void)state;
	order_init(&o);
	assert_false(order_take(&o, &at));
	for (uint64_t s = 1000; s > 1; s--)
		order_put(&o, s, (int64_t)s);
	assert_false(order_take(&o, &at));
	order_put(&o, 1, ORDER_NOTHING);
	for (uint64_t s = 1; s <= 1000; s++) {
		assert_true(order_take(&o, &at));
		assert_int_equal(at, s == 1 ? ORDER_NOTHING : (int64_t)s);
	}
	assert_false(order_take(&o, &at));
	order_free(&o);
}

static long resident_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void hundred_thousand_held(void **state)
{
	enum { N = 100000 };
	struct rig r;
	char text[32];
	int fd = temp_file();
	size_t len;
	(void)state;
	rig_open(&r, OUTPUT_GROUP, true);
	long before = resident_kib();
	for (uint64_t seq = N; seq > 0; seq--) {
		int n = snprintf(text, sizeof text, "line %06llu\n", (unsigned long long)seq);
		assert_int_equal(pwrite(fd, text, (size_t)n, 0), n);
		struct output o = { .seq = seq, .tag = "t", .fd = { fd, -1 }, .len = { n } };
		if (seq == 1) /* sanitizers have their own memory; this is a coarse bound */
			assert_in_range(resident_kib() - before, 0, 8 << 10);
		assert_int_equal(sink_done(r.s, &o), 0);
	}
	sink_flush(r.s);
	char *got = slurp(r.fd[0], &len);
	assert_int_equal(len, N * 14);
	for (int i = 0; i < N; i++)
		if (atoi(got + i * 14 + 7) != i + 1)
			fail_msg("out of order at %d", i);
	free(got);
	close(fd);
	rig_close(&r, NULL, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(group_prints_at_once),
		cmocka_unit_test(tags_every_line),
		cmocka_unit_test(streams_stay_in_order),
		cmocka_unit_test(keep_order_with_skips),
		cmocka_unit_test(keep_order_sizes),
		cmocka_unit_test(tagged_big),
		cmocka_unit_test(half_lines_wait),
		cmocka_unit_test(line_mode_keeps_order),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(order_ring_grows),
		cmocka_unit_test(hundred_thousand_held),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
