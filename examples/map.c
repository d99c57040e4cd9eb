/* map.c - a function over an array, on all CPUs, results in place: the lengths of the Collatz
 * sequences of 1..N.  usage: map [N] */
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>

static int length(size_t i, const void *in, void *out, void *arg)
{
	unsigned n = 1;
	(void)in, (void)arg;
	for (uint64_t x = i + 1; x != 1; n++)
		x = x % 2 ? 3 * x + 1 : x / 2;
	*(unsigned *)out = n;
	return 0;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, best = 0;
	unsigned *lengths = prong_shared(n * sizeof *lengths);
	if (!lengths)
		return 1;
	int64_t failed = prong_map(PRONG_MAP(.n = n, .out = lengths, .out_size = sizeof *lengths,
	                                     .fn = length, .flags = PRONG_OUT_SHARED));
	if (failed != 0) {
		fprintf(stderr, "prong_map: %s\n",
		        failed < 0 ? prong_strerror((int)failed) : "some items failed");
		return 1;
	}
	for (size_t i = 1; i < n; i++)
		if (lengths[i] > lengths[best])
			best = i;
	printf("the longest sequence up to %zu starts at %zu and has %u numbers\n", n, best + 1,
	       lengths[best]);
	prong_shared_free(lengths, n * sizeof *lengths);
	return 0;
}
