/* database-none.c - where prong is built without SQLite. */
#include "database.h"

#include "copy.h"

static struct database *without(const char *name)
{
	warn("'%s': this prong was built without SQLite (-Dsqlite=enabled)", name);
	return NULL;
}

struct database *database_results(const struct config *cfg, const struct names *names,
                                  const struct sink_patience *p)
{
	(void)names, (void)p;
	return without(cfg->results);
}

struct database *database_url(const char *url, bool fresh, const struct names *names,
                              const struct sink_patience *p)
{
	(void)fresh, (void)names, (void)p;
	return without(url);
}

int database_add(struct database *d, const struct record *r)
{
	(void)d, (void)r;
	return -1;
}

int database_put(struct database *d, const struct task *t, const char *command)
{
	(void)d, (void)t, (void)command;
	return -1;
}

int64_t database_last(struct database *d)
{
	(void)d;
	return -1;
}

int database_take(struct database *d, struct args *a, uint64_t *seq, int64_t *row)
{
	(void)d, (void)a, (void)seq, (void)row;
	return -1;
}

int database_done(struct database *d, const struct record *r)
{
	(void)d, (void)r;
	return -1;
}

int database_release(struct database *d, const struct task *t, int exitval)
{
	(void)d, (void)t, (void)exitval;
	return -1;
}

int64_t database_open_rows(struct database *d)
{
	(void)d;
	return -1;
}

int database_flush(struct database *d, bool now)
{
	(void)d, (void)now;
	return 0;
}

int database_complete(struct database *d)
{
	(void)d;
	return 0;
}

int database_close(struct database *d)
{
	(void)d;
	return 0;
}
