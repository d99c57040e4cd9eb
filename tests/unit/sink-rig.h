/* sink-rig.h - a sink that writes into files, for the tests of sinks. */
#ifndef TESTS_SINK_RIG_H
#define TESTS_SINK_RIG_H

#include "copy.h"
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A sink whose streams are files. */
struct rig {
	struct config cfg;
	struct sink *s;
	int fd[2];
};

static inline int temp_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static inline void rig_open(struct rig *r, enum output_mode mode, bool keep)
{
	memset(&r->cfg, 0, sizeof r->cfg);
	r->cfg.output = mode;
	r->cfg.keep_order = keep;
	r->cfg.tmpdir = "/tmp";
	r->fd[0] = temp_file();
	r->fd[1] = temp_file();
	r->s = sink_new(&r->cfg, r->fd[0], r->fd[1]);
	assert_non_null(r->s);
}

static inline char *slurp(int fd, size_t *len)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	char *text = malloc((size_t)st.st_size + 1);
	assert_int_equal(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	text[st.st_size] = '\0';
	if (len)
		*len = (size_t)st.st_size;
	return text;
}

static inline void rig_close(struct rig *r, const char *out, const char *err)
{
	const char *want[] = { out, err };
	assert_int_equal(sink_flush(r->s), 0);
	for (int i = 0; i < 2; i++) {
		char *text = slurp(r->fd[i], NULL);
		if (want[i])
			assert_string_equal(text, want[i]);
		free(text);
		close(r->fd[i]);
	}
	sink_free(r->s);
}

static inline int file_of(const char *text, size_t len)
{
	int fd = temp_file();
	assert_int_equal(pwrite_full(fd, text, len, 0), 0);
	return fd;
}

static inline int done(struct sink *s, uint64_t seq, const char *tag, const char *head, const char *out,
                const char *err)
{
	struct output o = { .seq = seq, .tag = tag, .head = head, .fd = { -1, -1 } };
	const char *text[] = { out, err };
	for (int i = 0; i < 2; i++) {
		if (!text[i])
			continue;
		o.len[i] = (int64_t)strlen(text[i]);
		o.fd[i] = file_of(text[i], (size_t)o.len[i]);
	}
	int e = sink_done(s, &o);
	for (int i = 0; i < 2; i++)
		if (o.fd[i] >= 0)
			close(o.fd[i]);
	return e;
}

#endif
