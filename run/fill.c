/* fill.c - files with replacement strings.
 *
 * Owns their compiled text.  A template ends at a NUL, so a file with NULs is several. */
#include "fill.h"

#include "copy.h"
#include "dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct one {
	struct template *name, **text; /* NULs stand between the texts */
	size_t n;
};

struct fill {
	struct one *v;
	size_t n;
};

static int slurp(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0) {
		buf_reserve(b, 64 << 10);
		n = read(fd, b->s + b->len, 64 << 10);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			b->len += (size_t)n;
	}
	int e = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	buf_reserve(b, 1);
	b->s[b->len] = '\0';
	return e;
}

static bool add_text(struct one *o, const struct config *cfg, const struct names *names,
                     const struct buf *b)
{
	for (const char *p = b->s, *end = b->s + b->len; p <= end; p += strlen(p) + 1) {
		struct template *t = template_text(cfg, names, p);
		if (!t)
			return false;
		o->text = xrealloc(o->text, (o->n + 1) * sizeof *o->text);
		o->text[o->n++] = t;
	}
	return true;
}

static bool read_one(struct one *o, const struct config *cfg, const struct names *names,
                     const char *spec)
{
	const char *eq = strchr(spec, '=');
	struct buf path = { 0 }, text = { 0 };
	buf_add(&path, spec, (size_t)(eq - spec));
	int e = slurp(path.s, &text);
	if (e != 0) {
		errno = -e;
		warn("--template: cannot read '%s':", path.s);
	}
	bool ok = e == 0 && (o->name = template_text(cfg, names, eq + 1)) &&
	          add_text(o, cfg, names, &text);
	buf_free(&path);
	buf_free(&text);
	return ok;
}

struct fill *fill_new(const struct config *cfg, const struct names *names)
{
	struct fill *f = xrealloc(NULL, sizeof *f);
	*f = (struct fill){ .v = xrealloc(NULL, cfg->ntemplates * sizeof *f->v) };
	memset(f->v, 0, cfg->ntemplates * sizeof *f->v);
	while (f->n < cfg->ntemplates) {
		struct one *o = &f->v[f->n++];
		if (!read_one(o, cfg, names, cfg->templates[f->n - 1])) {
			fill_free(f);
			return NULL;
		}
	}
	return f;
}

void fill_free(struct fill *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		for (size_t k = 0; k < f->v[i].n; k++)
			template_free(f->v[i].text[k]);
		free(f->v[i].text);
		if (f->v[i].name)
			template_free(f->v[i].name);
	}
	free(f->v);
	free(f);
}

static int write_one(const struct one *o, struct builder *b, const struct task *t, char *name)
{
	int fd = dirs_create(name), e = fd < 0 ? fd : 0;
	struct target to = { .fd = fd };
	for (size_t i = 0; e == 0 && i < o->n; i++) {
		char *text = builder_text(b, o->text[i], t);
		e = i ? write_full(&to, "", 1) : 0;
		if (e == 0)
			e = write_full(&to, text, strlen(text));
		free(text);
	}
	if (fd >= 0 && close(fd) != 0 && e == 0)
		e = -errno;
	return e;
}

int fill_write(const struct fill *f, struct builder *b, const struct task *t)
{
	int e = 0;
	for (size_t i = 0; e == 0 && i < f->n; i++) {
		char *name = builder_text(b, f->v[i].name, t);
		e = write_one(&f->v[i], b, t, name);
		if (e != 0)
			warn("job %llu: --template: cannot write '%s': %s",
			     (unsigned long long)t->seq, name, prong_strerror(e));
		free(name);
	}
	return e;
}

void fill_remove(const struct fill *f, struct builder *b, const struct task *t)
{
	for (size_t i = 0; i < f->n; i++) {
		char *name = builder_text(b, f->v[i].name, t);
		unlink(name);
		free(name);
	}
}
