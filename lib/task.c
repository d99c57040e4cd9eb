/* task.c - prong_reply(), and .work in a fresh fork: its reply goes to the result file. */
#include "task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *prong_reply_room(struct prong_task *pub, size_t len)
{
	struct task *t = (struct task *)pub;
	return t ? t->more(t, len) : NULL;
}

int prong_reply(struct prong_task *pub, const void *data, size_t len)
{
	if (!pub)
		return -EINVAL;
	void *to = prong_reply_room(pub, len);
	if (!to)
		return -ENOMEM;
	if (len)
		memcpy(to, data, len);
	return 0;
}

static void *more_memory(struct task *t, size_t n)
{
	if (n > SIZE_MAX / 2 - t->len)
		return NULL;
	if (t->len + n > t->cap || !t->buf) {
		size_t cap = (t->len + n) * 2 + 256;
		char *b = realloc(t->buf, cap);
		if (!b)
			return NULL;
		t->buf = b;
		t->cap = cap;
	}
	t->len += n;
	return t->buf + t->len - n;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* plan->fn of a job with .work: arg is the job.  A reply that cannot be stored must not
 * look like the one that was given, whatever .work returned with it. */
int pr_task_forked(void *arg, int result_fd)
{
	const struct job *j = arg;
	const struct prong_spec *spec = &j->spec;
	struct task t = { .pub = { .id = j->id, .arg = spec->arg, .data = spec->task,
		                   .len = spec->task_len, .seed = j->seed,
		                   .slot = j->slot ? j->slot->number : 0,
		                   .attempt = j->attempt },
		          .more = more_memory };
	int status = spec->work(&t.pub) & 255;
	if (write_all(result_fd, t.buf, t.len) != 0)
		status = 255;
	free(t.buf);
	return status;
}
