/* Records and columns: any bytes, any separator; compared with cutting done the plain way. */
#include "columns.h"
#include "fuzz.h"
#include "source.h"

#include <sys/mman.h>
#include <unistd.h>

/* The records of a plain cut, each NUL-terminated; a NUL byte in one becomes \0, as no argument can
 * hold it. */
static void plain_cut(const char *data, size_t size, const struct config *cfg, struct buf *out)
{
	const char *at = data, *end = data + size;
	while (at < end) {
		const char *to = memmem(at, (size_t)(end - at), cfg->delim, cfg->delim_len);
		size_t n = (size_t)((to ? to : end) - at);
		for (size_t i = 0; i < n; i++) {
			if (at[i])
				buf_chr(out, at[i]);
			else
				buf_str(out, "\\0");
		}
		buf_add(out, "", 1);
		at += n + cfg->delim_len;
	}
}

static void cut_records(const char *data, size_t size, const struct config *cfg, struct columns *cols,
                        bool compare)
{
	char path[64], *record;
	struct buf got = { 0 }, want = { 0 };
	int fd = memfd_create("fuzz", MFD_CLOEXEC), e;
	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	struct input_spec spec = { .kind = INPUT_FILE, .path = path };
	struct source *s = source_open(&spec, cfg);
	CHECK(s);
	buf_clear(&got);
	buf_clear(&want);
	while ((e = source_next(s, &record)) == 1) {
		buf_add(&got, record, strlen(record) + 1);
		if (cols) {
			columns_begin(cols);
			columns_add(cols, record);
			columns_end(cols);
			for (size_t i = 0; i < cols->n; i++)
				CHECK(strlen(cols->v[i]) <= strlen(record));
		}
	}
	CHECK(e == 0);
	plain_cut(data, size, cfg, &want);
	CHECK(!compare || (got.len == want.len && !memcmp(got.s, want.s, got.len)));
	source_close(s);
	close(fd);
	buf_free(&got);
	buf_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum trim trims[] = { TRIM_AUTO, TRIM_NONE, TRIM_LEFT, TRIM_RIGHT, TRIM_BOTH };
	struct cut c = cut_new(data, size);
	unsigned flags = cut_byte(&c);
	struct config cfg = { .csv = flags & 1, .trim = trims[(flags >> 1) % 5], .max_args = -1,
		              .max_lines = -1, .no_run_if_empty = flags & 64 };
	char *delim = cut_string(&c), *sep = cut_string(&c);
	struct columns cols;
	cfg.delim = *delim ? delim : "\n";
	cfg.delim_len = strlen(cfg.delim);
	if (flags & 128) {
		cfg.delim = "";
		cfg.delim_len = 1;
	}
	if (*sep && strlen(sep) < 40) /* expressions of any length may take any time */
		cfg.colsep = sep;
	bool ok = columns_init(&cols, &cfg) == 0;
	cut_records(c.at, (size_t)(c.end - c.at), &cfg, ok ? &cols : NULL,
	            !cfg.no_run_if_empty && !cfg.csv);
	if (ok)
		columns_free(&cols);
	cut_free(&c);
	return 0;
}
