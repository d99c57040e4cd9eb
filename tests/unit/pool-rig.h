/* pool-rig.h - what tests of pools do alike.  Behind <cmocka.h>. */
#ifndef TESTS_POOL_RIG_H
#define TESTS_POOL_RIG_H

#include <errno.h>
#include <prong.h>
#include <sys/wait.h>

/* The next DONE event; NULL when nothing is left. */
static inline const struct prong_event *next_done(struct prong *p)
{
	const struct prong_event *ev;
	int r;
	while ((r = prong_wait(p, &ev, 60000)) == 1)
		if (ev->type == PRONG_DONE)
			return ev;
	assert_int_equal(r, -ECHILD);
	return NULL;
}

static inline void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie, no child */
	assert_int_equal(errno, ECHILD);
}

static inline void close_pool(struct prong *p)
{
	prong_close(p);
	assert_no_children();
}

static inline struct prong *open_pool(unsigned jobs)
{
	struct prong *p;
	struct prong_options o = { .size = sizeof o, .jobs = jobs };
	assert_int_equal(prong_open(&p, &o), 0);
	return p;
}

#endif
