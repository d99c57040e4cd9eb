/* results.c - the files that jobs write into: names, opening, the number of the job.
 *
 * Jobs write into them directly: nothing is copied, and they can be watched while they run.
 * A value never leads out of its directory: '/' becomes '\_', '\' becomes '\\', and a '..'
 * becomes '\..'. */
#include "results.h"

#include "copy.h"
#include "dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct results {
	const struct config *cfg;
	const struct names *names;
	struct template *tp; /* NULL: a tree by source and value */
	size_t fixed;        /* bytes of the name before the directory a value may choose */
	bool free;           /* the name begins with a value: it may lead anywhere */
};

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && !strcmp(s + n - m, end);
}

enum results_kind results_kind(const struct config *cfg)
{
	const char *name = cfg->results;
	if (!name)
		return cfg->files ? RESULTS_FILES : RESULTS_NONE;
	if (ends_in(name, ".csv") || ends_in(name, ".tsv") || ends_in(name, ".json"))
		return RESULTS_TABLE;
	return ends_in(name, ".sqlite") ? RESULTS_DATABASE : RESULTS_FILES;
}

static bool set_template(struct results *rs)
{
	const char *name = rs->cfg->results;
	size_t lead;
	rs->tp = template_text(rs->cfg, rs->names, name);
	if (!rs->tp)
		return false;
	lead = template_lead(rs->tp);
	if (lead == SIZE_MAX) { /* nothing to replace in it */
		template_free(rs->tp);
		rs->tp = NULL;
		return true;
	}
	rs->free = lead == 0;
	while (lead && name[lead - 1] != '/')
		lead--;
	rs->fixed = lead;
	return true;
}

struct results *results_new(const struct config *cfg, const struct names *names)
{
	struct results *rs = xrealloc(NULL, sizeof *rs);
	*rs = (struct results){ .cfg = cfg, .names = names };
	if (cfg->results && !set_template(rs)) {
		free(rs);
		return NULL;
	}
	return rs;
}

void results_free(struct results *rs)
{
	if (rs && rs->tp)
		template_free(rs->tp);
	free(rs);
}

/* ---- names ---- */

/* A value as the name of a directory; what is longer than a name may be gets more levels. */
static void add_level(struct buf *path, const char *v)
{
	size_t room = NAME_MAX;
	if (*v)
		buf_chr(path, '/');
	if (!strcmp(v, ".") || !strcmp(v, ".."))
		buf_chr(path, '\\');
	for (; *v; v++) {
		const char *put = *v == '/' ? "\\_" : *v == '\\' ? "\\\\" : (char[]){ *v, '\0' };
		if (strlen(put) > room) {
			buf_chr(path, '/');
			room = NAME_MAX;
		}
		buf_str(path, put);
		room -= strlen(put);
	}
}

/* Values packed into one command all come from source 1. */
static bool packed(const struct config *cfg)
{
	return cfg->pack != PACK_ONE || cfg->max_args > 1 || cfg->max_lines > 0;
}

static void tree_name(const struct results *rs, const struct task *t, struct buf *path)
{
	size_t width = rs->names && rs->names->n ? rs->names->n : packed(rs->cfg) ? 1 : t->n;
	buf_str(path, rs->cfg->results);
	while (path->len > 1 && path->s[path->len - 1] == '/')
		path->s[--path->len] = '\0';
	if (t->load && (t->n == 0 || t->file)) /* a block has no value: its number tells it from others */
		buf_fmt(path, "/%" PRIu64, t->seq);
	for (size_t i = 0; i < t->n && !t->file; i++) {
		if (rs->names && rs->names->n)
			add_level(path, rs->names->v[i % width]);
		else
			buf_fmt(path, "/%zu", i % width + 1);
		add_level(path, t->v[i]);
	}
	buf_chr(path, '/');
}

/* Every component '..' that came from a value becomes '\..'. */
static void template_name(const struct results *rs, struct builder *b, const struct task *t,
                          struct buf *path)
{
	char *name = builder_text(b, rs->tp, t);
	buf_add(path, name, rs->fixed);
	for (char *p = name + rs->fixed; *p;) {
		size_t n = strcspn(p, "/");
		if (!rs->free && n == 2 && !memcmp(p, "..", 2))
			buf_chr(path, '\\');
		n += p[n] == '/';
		buf_add(path, p, n);
		p += n;
	}
	free(name);
}

static char *joined(const struct buf *path, const char *end)
{
	struct buf b = { 0 };
	buf_add(&b, path->s, path->len);
	buf_str(&b, end);
	return b.s;
}

static void set_names(const struct results *rs, struct builder *b, const struct task *t,
                      struct kept *k)
{
	static const char *const ends[2][3] = { { "", ".err", ".seq" }, { "stdout", "stderr", "seq" } };
	struct buf path = { 0 };
	buf_clear(&path);
	if (rs->tp)
		template_name(rs, b, t, &path);
	else
		tree_name(rs, t, &path);
	const char *const *end = ends[path.len && path.s[path.len - 1] == '/'];
	k->path[0] = joined(&path, end[0]);
	k->path[1] = joined(&path, end[1]);
	k->seq = joined(&path, end[2]);
	buf_free(&path);
}

/* ---- files ---- */

static int failed(const struct task *t, const char *path, int e)
{
	bool pack = e == -ENAMETOOLONG;
	warn("job %llu: cannot keep its output in '%.200s': %s%s", (unsigned long long)t->seq, path,
	     prong_strerror(e),
	     pack ? "; name the files otherwise, as in --results 'DIR/{#}/'" : "");
	return e;
}

/* --files: a file of its own in the place for output, for the user to remove. */
static int open_listed(const struct results *rs, struct task *t)
{
	struct kept *k = t->kept;
	struct buf path = { 0 };
	buf_fmt(&path, "%s/parXXXXXX.par", tmpdir_of(rs->cfg));
	k->fd[0] = mkostemps(path.s, 4, O_CLOEXEC);
	k->path[0] = path.s;
	k->listed = true;
	return k->fd[0] < 0 ? failed(t, path.s, -errno) : 0;
}

static int open_named(struct results *rs, struct builder *b, struct task *t)
{
	struct kept *k = t->kept;
	set_names(rs, b, t, k);
	unlink(k->seq); /* until it has ended again, it is not there for --resume */
	for (int i = 0; i < 2; i++) {
		k->fd[i] = dirs_create(k->path[i]);
		if (k->fd[i] < 0)
			return failed(t, k->path[i], k->fd[i]);
	}
	return 0;
}

static int empty(struct task *t)
{
	for (int i = 0; i < 2; i++)
		if (t->kept->fd[i] >= 0 && (ftruncate(t->kept->fd[i], 0) != 0 ||
		                            lseek(t->kept->fd[i], 0, SEEK_SET) != 0))
			if (errno != EINVAL && errno != ESPIPE) /* a device, a pipe */
				return failed(t, t->kept->path[i], -errno);
	return 0;
}

int results_begin(struct results *rs, struct builder *b, struct task *t)
{
	if (t->kept)
		return empty(t);
	t->kept = xrealloc(NULL, sizeof *t->kept);
	*t->kept = (struct kept){ .fd = { -1, -1 } };
	return rs->cfg->results ? open_named(rs, b, t) : open_listed(rs, t);
}

static int write_seq(struct task *t)
{
	struct buf n = { 0 };
	int fd = dirs_create(t->kept->seq), e = fd < 0 ? fd : 0;
	struct target to = { .fd = fd };
	buf_fmt(&n, "%llu", (unsigned long long)t->seq);
	if (e == 0)
		e = write_full(&to, n.s, n.len);
	if (fd >= 0 && close(fd) != 0 && e == 0)
		e = -errno;
	buf_free(&n);
	return e ? failed(t, t->kept->seq, e) : 0;
}

int results_end(struct task *t)
{
	t->kept->listed = false;
	return t->kept->seq ? write_seq(t) : 0;
}

bool results_there(struct results *rs, struct builder *b, const struct task *t)
{
	struct kept k = { .fd = { -1, -1 } };
	set_names(rs, b, t, &k);
	bool there = access(k.seq, F_OK) == 0;
	free(k.path[0]);
	free(k.path[1]);
	free(k.seq);
	return there;
}

void kept_free(struct kept *k)
{
	if (!k)
		return;
	for (int i = 0; i < 2; i++) {
		if (k->fd[i] >= 0)
			close(k->fd[i]);
		if (k->listed && k->path[i])
			unlink(k->path[i]);
		free(k->path[i]);
	}
	free(k->seq);
	free(k);
}
