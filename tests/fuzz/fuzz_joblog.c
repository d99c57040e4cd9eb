/* Lines of a job log: whatever is read as one may also be read while it is still being written. */
#include "fuzz.h"
#include "joblog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct joblog_row row = { 0 };
	char *line = malloc(size ? size : 1); /* exactly as long, for ASan */
	memcpy(line, data, size);
	joblog_begins(line, size);
	if (!memchr(line, '\n', size) && joblog_line(line, size, &row)) {
		CHECK(row.command <= size);
		for (size_t n = 0; n <= size; n++)
			CHECK(joblog_begins(line, n));
	}
	free(line);
	return 0;
}
