/* dirs.c - mkdir -p, and files in directories that may not be there yet. */
#include "dirs.h"

#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *tmpdir_of(const struct config *cfg)
{
	const char *env = getenv("TMPDIR");
	if (cfg->tmpdir)
		return cfg->tmpdir;
	return env && *env ? env : "/tmp";
}

static int make_one(const char *path)
{
	return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : -errno;
}

int dirs_make_parent(char *path)
{
	int e = 0;
	for (char *p = path + 1; e == 0 && *path && (p = strchr(p, '/')); p++) {
		*p = '\0';
		e = make_one(path);
		*p = '/';
	}
	return e;
}

int dirs_make(char *path)
{
	int e = dirs_make_parent(path);
	return e ? e : make_one(path);
}

int dirs_create(char *path)
{
	const int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags, 0666);
	if (fd < 0 && errno == ENOENT) {
		int e = dirs_make_parent(path);
		if (e != 0)
			return e;
		fd = open(path, flags, 0666);
	}
	return fd < 0 ? -errno : fd;
}

static int unnamed_by_name(const char *dir)
{
	struct buf path = { 0 };
	buf_fmt(&path, "%s/prongXXXXXX", dir);
	int fd = mkostemp(path.s, O_CLOEXEC);
	int e = fd < 0 ? -errno : fd;
	if (fd >= 0)
		unlink(path.s);
	buf_free(&path);
	return e;
}

int dirs_unnamed(const char *dir)
{
#ifdef O_TMPFILE
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
		return fd >= 0 ? fd : -errno;
#endif
	return unnamed_by_name(dir);
}
