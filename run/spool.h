/* spool.h - output that has to wait for its turn: in memory while it is little, else in
 * one unlinked file. */
#ifndef RUN_SPOOL_H
#define RUN_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct spool;

/* Pieces that are printed one after the other: places in the spool, -1: none. */
struct chain {
	int64_t first, last;
};
#define CHAIN_EMPTY ((struct chain){ -1, -1 })

/* kind: the caller's.  The bytes are mem[0..len), or len bytes of fd at off if mem is
 * NULL.  mem is valid until the next spool_add*() or spool_release(). */
struct piece {
	int kind;
	int64_t len, off;
	const char *mem;
	int fd;
	int64_t at; /* its place */
};

struct spool *spool_new(const char *dir); /* dir is borrowed; touched when first needed */
void spool_free(struct spool *s);
const char *spool_dir(const struct spool *s);

/* Append a piece to a chain. 0 or -errno. */
int spool_add(struct spool *s, struct chain *c, int kind, const void *data, size_t len);
int spool_add_file(struct spool *s, struct chain *c, int kind, int fd, int64_t len);
/* Append all of b to a; b is empty then. */
int spool_join(struct spool *s, struct chain *a, struct chain *b);
/* The piece at *at; *at becomes the place of the next one, or -1. */
int spool_read(struct spool *s, int64_t *at, struct piece *p);
/* It was printed: its room may be used again. */
void spool_release(struct spool *s, const struct piece *p);

#endif
