/* loop_glib.c - a pool in a GLib main loop.  usage: loop_glib SECONDS...
 * cc loop_glib.c $(pkg-config --cflags --libs prong glib-2.0) */
#include <glib-unix.h>
#include <prong.h>
#include <stdio.h>

static GMainLoop *loop;
static int ticks;

static gboolean ready(gint fd, GIOCondition condition, gpointer data)
{
	struct prong *pool = data;
	const struct prong_event *event;
	int r;
	(void)fd, (void)condition;
	while ((r = prong_wait(pool, &event, 0)) == 1) /* until there is no more */
		if (event->type == PRONG_DONE)
			printf("job %lld is done\n", (long long)event->id);
	if (r < 0) /* nothing is left */
		g_main_loop_quit(loop);
	return G_SOURCE_CONTINUE;
}

static gboolean begin(gpointer data)
{
	ready(0, G_IO_IN, data); /* what was submitted starts in prong_wait() */
	return G_SOURCE_REMOVE;
}

static gboolean tick(gpointer data)
{
	(void)data;
	ticks++; /* the loop goes on while jobs run */
	return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
	struct prong *pool;
	if (prong_open(&pool, NULL) != 0 || prong_fd(pool) < 0) /* -ENOTSUP: no Linux */
		return 1;
	for (int i = 1; i < argc; i++)
		prong_submit(pool, PRONG_SPEC(.argv = (char *[]){ "sleep", argv[i], NULL }));
	loop = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(prong_fd(pool), G_IO_IN, ready, pool);
	g_idle_add(begin, pool);
	g_timeout_add(10, tick, NULL);
	g_main_loop_run(loop);
	g_main_loop_unref(loop);
	printf("the loop ticked %s\n", ticks ? "meanwhile" : "never");
	prong_close(pool);
	return 0;
}
