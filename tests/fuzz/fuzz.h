/* fuzz.h - what the fuzz targets share: cutting the bytes they are given. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A promise that does not hold, whatever NDEBUG says. */
#define CHECK(x)                                                                                  \
	do {                                                                                      \
		if (!(x)) {                                                                       \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);          \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

/* NUL-terminated strings out of the input, one after the other. */
struct cut {
	char *bytes, *at, *end;
};

static inline struct cut cut_new(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	memcpy(copy, data, size);
	copy[size] = '\0';
	return (struct cut){ copy, copy, copy + size };
}

static inline char *cut_string(struct cut *c) /* "" at the end */
{
	char *s = c->at;
	c->at += strlen(s);
	c->at += c->at < c->end;
	return s;
}

static inline unsigned cut_byte(struct cut *c)
{
	return c->at < c->end ? (unsigned char)*c->at++ : 0;
}

static inline void cut_free(struct cut *c)
{
	free(c->bytes);
}

#endif
