/* Any bytes, quoted, are one word to a shell: those bytes. */
#include "fuzz.h"
#include "template.h"
#include "unquote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cut c = cut_new(data, size);
	struct buf out = { 0 }, words = { 0 };
	while (c.at < c.end) {
		const char *value = cut_string(&c);
		buf_clear(&out);
		buf_clear(&words);
		quote_shell(&out, value, QUOTE_POSIX);
		CHECK(strlen(out.s) == out.len);
		CHECK(unquote(out.s, &words) == 1);
		CHECK(!strcmp(words.s, value));
	}
	buf_free(&out);
	buf_free(&words);
	cut_free(&c);
	return 0;
}
