/* sem.c - counting semaphores: see sem.h.
 *
 * Two kinds of files: "gate", whose lock lines up those who wait (so that one looks and the
 * others sleep, first come first served), and one for each holder, PID@HOST.  A holder's file
 * that nobody has locked is left over from a process that was killed, and is removed by the
 * next who passes the gate. */
#include "sem.h"

#include "buf.h"
#include "timing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { LOOK_MS = 200, SHORT_MS = 5, NAME_KEPT = 160 };

static struct {
	char dir[PATH_MAX], gate[PATH_MAX + 8], holder[PATH_MAX + 96];
	int fd; /* of the holder's file */
} sem = { .fd = -1 };

/* ---- names ---- */

static const char *default_name(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		const char *tty = isatty(fd) ? ttyname(fd) : NULL;
		if (tty)
			return tty;
	}
	return "no-tty";
}

/* Any bytes are a name: odd ones as %XX, and the end of a very long one as a number. */
static void file_name(struct buf *to, const char *name)
{
	unsigned long long hash = 14695981039346656037ull;
	for (const char *s = name; *s; s++) {
		hash = (hash ^ (unsigned char)*s) * 1099511628211ull;
		if (to->len > NAME_KEPT)
			continue;
		if (strchr("-_.+,:=@", *s) || ((*s | 32) >= 'a' && (*s | 32) <= 'z') ||
		    (*s >= '0' && *s <= '9'))
			buf_chr(to, *s);
		else
			buf_fmt(to, "%%%02x", (unsigned char)*s);
	}
	if (to->len > NAME_KEPT)
		buf_fmt(to, "-%016llx", hash);
}

static int make_dirs(void)
{
	for (char *p = sem.dir + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char was = *p;
		*p = '\0';
		int e = mkdir(sem.dir, 0777);
		*p = was;
		if (e != 0 && errno != EEXIST) {
			warn("cannot make the semaphore's directory '%s':", sem.dir);
			return -1;
		}
		if (!was)
			return 0;
	}
}

static int find_dir(const struct config *cfg)
{
	struct buf name = { 0 };
	const char *base = getenv("PARALLEL_HOME"), *home = getenv("HOME");
	buf_clear(&name);
	file_name(&name, cfg->sem_id ? cfg->sem_id : default_name());
	int n = base && *base ? snprintf(sem.dir, sizeof sem.dir, "%s/semaphores/id-%s", base, name.s)
	                      : snprintf(sem.dir, sizeof sem.dir, "%s/.parallel/semaphores/id-%s",
	                                 home ? home : "", name.s);
	buf_free(&name);
	if ((!base || !*base) && (!home || !*home)) {
		warn("semaphores are kept in ~/.parallel/semaphores, but $HOME is not set");
		return -1;
	}
	if (n < 0 || (size_t)n >= sizeof sem.dir - 100) {
		warn("$HOME is too long a path to keep a semaphore there");
		return -1;
	}
	snprintf(sem.gate, sizeof sem.gate, "%s/gate", sem.dir);
	return 0;
}

/* ---- locks ---- */

static void on_alarm(int sig)
{
	(void)sig; /* it interrupts flock(), that is all */
}

/* At the deadline (monotonic; < 0: none) a blocking call ends with EINTR, again and again. */
static void set_alarm(double deadline)
{
	struct itimerval t = { .it_interval = { .tv_usec = 50000 } };
	struct sigaction sa = { .sa_handler = on_alarm };
	double left = deadline - timing_now();
	if (deadline < 0)
		return;
	if (left < 0.001)
		left = 0.001;
	t.it_value.tv_sec = (time_t)left;
	t.it_value.tv_usec = (suseconds_t)((left - (double)t.it_value.tv_sec) * 1e6);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

static void clear_alarm(void)
{
	struct itimerval none = { .it_value = { 0 } };
	setitimer(ITIMER_REAL, &none, NULL);
	signal(SIGALRM, SIG_DFL);
}

static bool late(double deadline)
{
	return deadline >= 0 && timing_now() >= deadline;
}

static int lock(int fd, int how, double deadline)
{
	while (flock(fd, how) != 0)
		if (errno != EINTR || late(deadline))
			return -errno;
	return 0;
}

/* Another may have removed directory and gate while we waited for it: then begin again. */
static int pass_gate(double deadline)
{
	for (;;) {
		struct stat there, ours;
		if (make_dirs() != 0)
			return -EIO;
		int fd = open(sem.gate, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return warn("cannot open the semaphore '%s':", sem.gate), -EIO;
		int e = lock(fd, LOCK_EX, deadline);
		if (e == 0 && stat(sem.gate, &there) == 0 && fstat(fd, &ours) == 0 &&
		    there.st_ino == ours.st_ino && there.st_dev == ours.st_dev)
			return fd;
		close(fd);
		if (e == -EINTR)
			return e;
		if (e != 0) {
			errno = -e;
			return warn("cannot lock the semaphore '%s':", sem.gate), -EIO;
		}
	}
}

/* ---- holders ---- */

/* How many hold it now; *one becomes an open file of one of them, if wanted.  Behind the gate
 * only: the leftovers of killed processes are removed. */
static int holders(int *one)
{
	int n = 0;
	DIR *d = opendir(sem.dir);
	for (struct dirent *de; d && (de = readdir(d));) {
		if (!strchr(de->d_name, '@'))
			continue;
		int fd = openat(dirfd(d), de->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
			unlinkat(dirfd(d), de->d_name, 0);
		} else {
			n++;
			if (one && *one < 0) {
				*one = fd;
				continue;
			}
		}
		close(fd);
	}
	if (d)
		closedir(d);
	return n;
}

/* Machines and containers may share the directory: a name that is taken gets a number. */
static int holder_open(const char *host)
{
	int fd = -1;
	for (int i = 0; i < 1000 && fd < 0; i++) {
		snprintf(sem.holder, sizeof sem.holder, "%s/%d%s%.0d@%s", sem.dir, (int)getpid(),
		         i ? "." : "", i, host);
		fd = open(sem.holder, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd;
}

static int hold(void)
{
	struct stat st;
	char host[65] = "localhost", text[32];
	gethostname(host, sizeof host - 1);
	for (char *p = host; *p; p++)
		if (*p == '/')
			*p = '_';
	do {
		if (sem.fd >= 0)
			close(sem.fd);
		sem.fd = holder_open(host);
		if (sem.fd < 0 || lock(sem.fd, LOCK_EX, -1) != 0) {
			warn("cannot hold the semaphore '%s':", sem.holder);
			return -1;
		}
	} while (fstat(sem.fd, &st) == 0 && st.st_nlink == 0); /* taken for a leftover */
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	if (write(sem.fd, text, (size_t)n) != n) /* for people; the lock is what counts */
		warn("cannot write '%s':", sem.holder);
	return 0;
}

/* Sleep until a holder's file is closed or removed.  A lock is dropped a moment after its
 * file is closed, so the look after that is a short one. */
static void doze(int notify, bool *soon, double deadline)
{
	char events[4096];
	struct pollfd p = { notify, POLLIN, 0 };
	double left = deadline < 0 ? 1e9 : (deadline - timing_now()) * 1000;
	int ms = *soon ? SHORT_MS : LOOK_MS;
	if (left < ms)
		ms = left < 1 ? 1 : (int)left;
	*soon = poll(&p, notify >= 0, ms) > 0 && read(notify, events, sizeof events) > 0;
}

/* Behind the gate until there are fewer than limit. */
static bool await_room(int limit, double deadline)
{
	bool soon = false;
	int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (notify >= 0)
		inotify_add_watch(notify, sem.dir, IN_DELETE | IN_CLOSE_WRITE);
	bool room;
	while (!(room = holders(NULL) < limit) && !late(deadline))
		doze(notify, &soon, deadline);
	if (notify >= 0)
		close(notify);
	return room;
}

enum sem_got sem_take(const struct config *cfg, int limit)
{
	double wait = cfg->sem_timeout;
	double deadline = wait ? timing_now() + (wait < 0 ? -wait : wait) : -1;
	if (find_dir(cfg) != 0)
		return SEM_FAILED;
	set_alarm(deadline);
	int gate = pass_gate(deadline);
	bool room = gate >= 0 && await_room(limit, deadline);
	clear_alarm();
	if (gate < 0 && gate != -EINTR)
		return SEM_FAILED;
	if (!room && wait < 0) {
		if (gate >= 0)
			close(gate);
		warn("the semaphore was not free within %g seconds: nothing was run", -wait);
		return SEM_TIMED_OUT;
	}
	if (!room)
		warn("the semaphore was not free within %g seconds: taking it anyway", wait);
	int e = hold();
	if (gate >= 0)
		close(gate);
	return e == 0 ? SEM_HELD : SEM_FAILED;
}

/* The lock belongs to the open file, which the child has too: it goes on holding. */
void sem_background(const struct config *cfg)
{
	pid_t pid = cfg->sem_fg ? 0 : fork();
	if (pid < 0)
		die("cannot go to the background:");
	if (pid > 0)
		_exit(0);
}

/* Directory and gate go too if nobody waits: ids like $$ are never used again. */
static void clean_up(void)
{
	int fd = open(sem.gate, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && holders(NULL) == 0) {
		unlink(sem.gate);
		rmdir(sem.dir);
	}
	close(fd);
}

void sem_release(void)
{
	if (sem.fd < 0)
		return;
	unlink(sem.holder);
	close(sem.fd);
	sem.fd = -1;
	clean_up();
}

int sem_wait_all(const struct config *cfg)
{
	if (find_dir(cfg) != 0)
		return -1;
	for (;;) {
		int one = -1;
		if (access(sem.dir, F_OK) != 0)
			return 0;
		int gate = pass_gate(-1);
		if (gate < 0)
			return -1;
		int n = holders(&one);
		close(gate);
		if (!n) {
			clean_up();
			return 0;
		}
		if (one >= 0) {
			lock(one, LOCK_SH, -1);
			close(one);
		}
	}
}
