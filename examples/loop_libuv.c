/* loop_libuv.c - a pool in a libuv loop.  usage: loop_libuv SECONDS...
 * cc loop_libuv.c $(pkg-config --cflags --libs prong libuv) */
#include <prong.h>
#include <stdio.h>
#include <uv.h>

static uv_timer_t clock_;
static int ticks;

static void ready(uv_poll_t *handle, int status, int events)
{
	struct prong *pool = handle->data;
	const struct prong_event *event;
	int r;
	(void)status, (void)events;
	while ((r = prong_wait(pool, &event, 0)) == 1) /* until there is no more */
		if (event->type == PRONG_DONE)
			printf("job %lld is done\n", (long long)event->id);
	if (r < 0) { /* nothing is left */
		uv_poll_stop(handle);
		uv_timer_stop(&clock_);
	}
}

static void tick(uv_timer_t *timer)
{
	(void)timer;
	ticks++; /* the loop goes on while jobs run */
}

int main(int argc, char **argv)
{
	struct prong *pool;
	uv_poll_t handle;
	if (prong_open(&pool, NULL) != 0 || prong_fd(pool) < 0) /* -ENOTSUP: no Linux */
		return 1;
	for (int i = 1; i < argc; i++)
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL }));
	uv_timer_init(uv_default_loop(), &clock_);
	uv_timer_start(&clock_, tick, 10, 10);
	uv_poll_init(uv_default_loop(), &handle, prong_fd(pool));
	handle.data = pool;
	uv_poll_start(&handle, UV_READABLE, ready);
	ready(&handle, 0, 0); /* what was submitted starts in prong_wait() */
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	printf("the loop ticked %s\n", ticks ? "meanwhile" : "never");
	prong_close(pool);
	return 0;
}
