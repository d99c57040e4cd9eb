/* word-reader.c - bytes to words, for xargs.  Never blocks. */
#include "word-reader.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 128 * 1024 };

struct word_reader {
	int fd;
	const char *name;
	struct word_style style;
	char block[BLOCK];
	size_t at, have;
	char last;         /* the byte before the block */
	bool over;
	/* the word that is being read */
	bool begun, escaped;
	bool cut;          /* there was a NUL in it: the rest is left out, as by GNU xargs */
	char quote;        /* ' or " if one is open */
	size_t len;        /* bytes of it that are in `to` */
	bool told_nul;
	bool stops[256];   /* bytes to look at; all others are of the word */
};

struct word_reader *word_new(int fd, const char *name, const struct word_style *style)
{
	struct word_reader *w = xrealloc(NULL, sizeof *w);
	w->fd = fd;
	w->name = name;
	w->style = *style;
	w->at = w->have = w->len = 0;
	w->cut = w->over = w->begun = w->escaped = w->told_nul = false;
	w->quote = 0;
	memset(w->stops, 0, sizeof w->stops);
	for (const char *s = style->delim < 0 ? "\n\\'\" \t\r\v\f" : ""; *s; s++)
		w->stops[(unsigned char)*s] = true;
	w->stops[0] = true;
	if (style->delim >= 0)
		w->stops[style->delim] = true;
	return w;
}

void word_free(struct word_reader *w)
{
	if (w && w->fd > STDERR_FILENO)
		close(w->fd);
	free(w);
}

int word_fd(const struct word_reader *w)
{
	return w->fd;
}

static int more(struct word_reader *w)
{
	struct pollfd p = { w->fd, POLLIN, 0 };
	if (poll(&p, 1, 0) == 0)
		return -EAGAIN;
	w->last = w->have ? w->block[w->have - 1] : '\n';
	ssize_t n = read(w->fd, w->block, sizeof w->block);
	if (n < 0) {
		if (errno == EINTR || errno == EAGAIN)
			return -EAGAIN;
		int e = -errno;
		warn("cannot read %s:", w->name);
		return e;
	}
	w->at = 0;
	w->have = (size_t)n;
	w->over = n == 0;
	return 0;
}

/* The word is complete: 1, or 0 if it is the one that ends the input. */
static int complete(struct word_reader *w, struct buf *to)
{
	const char *word;
	buf_chr(to, '\0');
	word = to->s + to->len - w->len - 1;
	w->begun = w->cut = false;
	if (!w->style.eof || w->style.delim >= 0 || strcmp(word, w->style.eof) != 0) {
		w->len = 0;
		return 1;
	}
	to->len -= w->len + 1;
	w->over = true;
	w->at = w->have = 0;
	return 0;
}

static int unclosed(struct word_reader *w)
{
	warn("unmatched %s quote in %s; quotes are special unless you use -0 or -d",
	     w->quote == '"' ? "double" : "single", w->name);
	return -EINVAL;
}

static void add(struct word_reader *w, struct buf *to, char c)
{
	if (!c && !w->told_nul) {
		warn("a NUL byte in %s ends the word it stands in: no argument can hold one; did you"
		     " mean -0?", w->name);
		w->told_nul = true;
	}
	w->begun = true;
	w->cut |= !c;
	if (w->cut)
		return;
	buf_chr(to, c);
	w->len++;
}

/* Bytes that need no look. */
static void add_plain(struct word_reader *w, struct buf *to)
{
	const char *from = w->block + w->at;
	size_t n = 0, max = w->have - w->at;
	while (n < max && !w->stops[(unsigned char)from[n]])
		n++;
	w->at += n;
	w->begun |= n > 0;
	if (w->cut)
		return;
	buf_add(to, from, n);
	w->len += n;
}

/* A byte that is special; 1: it ended a word. */
static int special(struct word_reader *w, struct buf *to, char c, bool *ends_line)
{
	if (w->escaped) {
		w->escaped = false;
		add(w, to, c);
	} else if (w->quote) {
		if (c == '\n')
			return unclosed(w);
		if (c == w->quote)
			w->quote = 0;
		else
			add(w, to, c);
	} else if (c == '\n') {
		char before = w->at > 1 ? w->block[w->at - 2] : w->last;
		*ends_line = before != ' ' && before != '\t'; /* also if it was escaped */
		return w->begun;
	} else if (c == ' ' || c == '\t') {
		if (!w->style.lines)
			return w->begun;
		if (w->begun)
			add(w, to, c);
	} else if (c == '\'' || c == '"') {
		w->quote = c;
		w->begun = true;
	} else if (c == '\\') {
		w->escaped = w->begun = true;
	} else if (w->begun || !c) { /* \r \v \f: dropped where a word would begin */
		add(w, to, c);
	}
	return 0;
}

/* Cut at one byte; 1: it ended a word. */
static int by_delim(struct word_reader *w, struct buf *to, bool *ends_line)
{
	char c = w->block[w->at++];
	*ends_line = (unsigned char)c == w->style.delim;
	if (*ends_line)
		return 1;
	add(w, to, c);
	return 0;
}

int word_next(struct word_reader *w, struct buf *to, bool *ends_line)
{
	*ends_line = false;
	for (;;) {
		if (w->at == w->have) {
			int e = w->over ? 0 : more(w);
			if (e != 0)
				return e;
			if (w->over && w->quote)
				return unclosed(w);
			if (w->over) {
				*ends_line = true;
				return w->begun ? complete(w, to) : 0;
			}
		}
		if (w->escaped) {
			special(w, to, w->block[w->at++], ends_line);
			continue;
		}
		add_plain(w, to);
		if (w->at == w->have)
			continue;
		int e = w->style.delim >= 0 ? by_delim(w, to, ends_line)
		                            : special(w, to, w->block[w->at++], ends_line);
		if (e < 0)
			return e;
		if (e)
			return complete(w, to);
		*ends_line = false;
	}
}
