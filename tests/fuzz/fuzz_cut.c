/* Where --pipe cuts: a window that grows byte by byte or all at once, any separators; nothing is
 * lost, and with the input's end everything is cut. */
#include "cut.h"
#include "fuzz.h"

/* Cut a whole input whose window grows by `step`; returns how many bytes were handed out. */
static size_t cut_all(const struct config *cfg, const char *data, size_t size, size_t step)
{
	struct buf header = { 0 };
	buf_clear(&header);
	struct cutter *c = cutter_new(cfg, &header);
	size_t at = 0, len = 0;
	while (c && at < size) {
		bool final = at + len == size;
		size_t n = cutter_scan(c, data + at, len, final);
		CHECK(n <= len);
		if (!n && final)
			n = len;
		if (n) {
			struct buf strip = { 0 };
			buf_clear(&strip);
			cutter_strip(c, data + at, n, &strip);
			CHECK(strip.len <= n);
			buf_free(&strip);
			cutter_cut(c, n);
			at += n;
			len -= n;
		} else {
			len += step < size - at - len ? step : size - at - len;
		}
	}
	if (c)
		cutter_free(c);
	buf_free(&header);
	return c ? at : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cut c = cut_new(data, size);
	unsigned flags = cut_byte(&c), n = cut_byte(&c);
	char *end = cut_string(&c), *start = cut_string(&c);
	struct config cfg = { .pipe = true, .delim = "\n", .delim_len = 1, .rrs = true,
		              .max_args = flags & 1 ? (int)(n % 9) + 1 : -1,
		              .max_lines = flags & 2 ? (int)(n % 5) + 1 : -1,
		              .regexp = (flags & 4) && strlen(end) + strlen(start) < 24,
		              .csv = flags & 32 };
	if (flags & 8)
		cfg.recend = end;
	if (flags & 16)
		cfg.recstart = start;
	size_t left = (size_t)(c.end - c.at);
	if (left && left < 2000) {
		CHECK(cut_all(&cfg, c.at, left, left) == left);
		CHECK(cut_all(&cfg, c.at, left, 1) == left);
	}
	cut_free(&c);
	return 0;
}
