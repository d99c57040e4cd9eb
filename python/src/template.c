/* template.c - workers forked from the template: a process of ours that has no threads.
 *
 * The host asks it through a socket, with the descriptors of all that host and worker share.
 * It clones itself with CLONE_PARENT: the worker is the host's child, and waiting for it, its
 * certificate and its signals are libprong's, as of those the host forks itself. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What goes with a request. */
enum { FD_COMMON, FD_CTL, FD_REQ, FD_REP, FD_BELL, FD_PAYLOAD, FD_OUT, FD_ERR, NFDS };

struct ask {
	uint64_t single_id, max_tasks, max_rss_kb;
	int64_t chunk;
	uint32_t index, nseats, flags, single;
};
union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(NFDS * sizeof(int))];
};

/* ---- the host's side ---- */

/* A memory file of n bytes, mapped.  Its descriptor, or -errno. */
int template_share(size_t n, void **at)
{
	int fd = memfd_create("prong-shared", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	void *p = ftruncate(fd, (off_t)n) == 0
	                  ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
	                  : MAP_FAILED;
	if (p == MAP_FAILED) {
		int e = -errno;
		close(fd);
		return e;
	}
	*at = p;
	return fd;
}

/* A memory file with these bytes. */
int template_payload(PyObject *bytes)
{
	char *p;
	Py_ssize_t n;
	if (PyBytes_AsStringAndSize(bytes, &p, &n) != 0)
		return -EINVAL;
	int fd = memfd_create("prong-payload", MFD_CLOEXEC);
	for (Py_ssize_t off = 0; fd >= 0 && off < n;) {
		ssize_t k = write(fd, p + off, (size_t)(n - off));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			int e = errno;
			close(fd);
			return -e;
		}
		off += k;
	}
	return fd < 0 ? -errno : fd;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What a worker of the template needs for each process; template_none() once before. */
void template_none(struct worker *w)
{
	w->ctl_fd = w->req.fd = w->rep.fd = w->err_rd = w->err_wr = w->payload_fd = -1;
}

int template_prepare(struct worker *w, bool tee)
{
	int fds[2];
	w->begun = false;
	if (!tee)
		return 0;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	w->err_rd = fds[0];
	w->err_wr = fds[1];
	fcntl(w->err_rd, F_SETFL, O_NONBLOCK);
	return prong_watch(w->eng->pool, w->err_rd, PRONG_READ, w);
}

/* stderr of it, as far as it has come. */
void template_read(struct worker *w)
{
	char buf[16384];
	ssize_t n = -1;
	while (w->err_rd >= 0 && (n = read(w->err_rd, buf, sizeof buf)) > 0)
		worker_remember(w, buf, (size_t)n);
	if (n == 0 && w->err_rd >= 0 && w->eng->pool) {
		prong_watch(w->eng->pool, w->err_rd, 0, NULL);
		close_fd(&w->err_rd);
	}
}

/* The process is gone, or never came. */
void template_bury(struct worker *w)
{
	template_read(w);
	if (w->err_rd >= 0 && w->eng->pool)
		prong_watch(w->eng->pool, w->err_rd, 0, NULL);
	close_fd(&w->err_rd);
	close_fd(&w->err_wr);
	close_fd(&w->payload_fd);
}

void template_unmap(struct worker *w)
{
	close_fd(&w->err_rd);
	close_fd(&w->err_wr);
	close_fd(&w->payload_fd);
	close_fd(&w->ctl_fd);
	close_fd(&w->req.fd);
	close_fd(&w->rep.fd);
}

/* libprong starts jobs in the order of submission. */
static struct worker *next_to_begin(struct engine *e)
{
	struct worker *next = NULL;
	for (unsigned i = 0; i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];
		if (w->job && !w->begun && (!next || w->job < next->job))
			next = w;
	}
	return next;
}

static int std_fd(const struct engine *e, const struct worker *w, int which)
{
	PyObject *pair = e->std ? PySequence_GetItem(e->std, w->index) : NULL;
	PyObject *o = pair ? PySequence_GetItem(pair, which - 1) : NULL;
	int fd = o ? (int)PyLong_AsLong(o) : which;
	Py_XDECREF(pair);
	Py_XDECREF(o);
	if (PyErr_Occurred())
		PyErr_Clear();
	return fd;
}

static int send_ask(const struct engine *e, const struct worker *w)
{
	struct ask a = { .single_id = w->single_id, .single = w->single, .index = w->index,
		         .nseats = e->nseats, .flags = e->flags, .chunk = e->chunk,
		         .max_tasks = e->max_tasks, .max_rss_kb = e->max_rss_kb };
	int fds[NFDS] = { [FD_COMMON] = e->common_fd, [FD_CTL] = w->ctl_fd, [FD_REQ] = w->req.fd,
		          [FD_REP] = w->rep.fd, [FD_BELL] = e->bell,
		          [FD_PAYLOAD] = w->payload_fd >= 0 ? w->payload_fd : e->payload_fd,
		          [FD_OUT] = std_fd(e, w, 1),
		          [FD_ERR] = w->err_wr >= 0 ? w->err_wr : std_fd(e, w, 2) };
	union control c = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		                      .cmsg_len = CMSG_LEN(sizeof fds) } };
	memcpy(CMSG_DATA(&c.head), fds, sizeof fds);
	struct iovec v = { &a, sizeof a };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c,
		            .msg_controllen = sizeof c.room };
	ssize_t n;
	while ((n = sendmsg(e->template_fd, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return n < 0 ? -errno : 0;
}

/* libprong's options.fork: under the GIL, which also keeps other engines from the socket. */
pid_t template_fork(void *engine)
{
	struct engine *e = engine;
	struct worker *w = next_to_begin(e);
	int64_t answer = -ECHILD;
	int r = w ? send_ask(e, w) : -EINVAL;
	ssize_t n = 0;
	while (r == 0 && (n = recv(e->template_fd, &answer, sizeof answer, 0)) < 0 && errno == EINTR)
		;
	if (r == 0 && n != (ssize_t)sizeof answer)
		r = -ECHILD; /* the template is gone */
	if (r == 0 && answer < 0)
		r = (int)answer;
	if (r != 0) {
		errno = -r;
		return -1;
	}
	w->begun = true;
	close_fd(&w->err_wr);
	return (pid_t)answer;
}

/* ---- the template's side ---- */

/* fork(), but the child is our parent's.  glibc keeps the thread's number where the kernel is
 * to clear it at the thread's end. */
static pid_t fork_sibling(void)
{
	int *tid = NULL;
#ifdef PR_GET_TID_ADDRESS
	if (prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) != 0)
		tid = NULL;
#endif
	unsigned long flags = CLONE_PARENT | SIGCHLD;
	if (tid)
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
#if defined(__x86_64__)
	return (pid_t)syscall(SYS_clone, flags, NULL, NULL, tid, 0);
#else
	return (pid_t)syscall(SYS_clone, flags, NULL, NULL, 0, tid);
#endif
}

static int map_all(struct engine *e, struct worker *w, const int *fds)
{
	const int rw = PROT_READ | PROT_WRITE;
	void *c = mmap(NULL, sizeof *e->common, rw, MAP_SHARED, fds[FD_COMMON], 0);
	void *ctl = mmap(NULL, sizeof *w->ctl, rw, MAP_SHARED, fds[FD_CTL], 0);
	if (c == MAP_FAILED || ctl == MAP_FAILED)
		return -errno;
	e->common = c;
	w->ctl = ctl;
	int r = ring_map_file(&w->req, REQ_SIZE, fds[FD_REQ]);
	if (r == 0)
		r = ring_map_file(&w->rep, REP_SIZE, fds[FD_REP]);
	w->req.pos = &w->ctl->req;
	w->rep.pos = &w->ctl->rep;
	return r;
}

static PyObject *read_payload(int fd)
{
	off_t n = lseek(fd, 0, SEEK_END);
	PyObject *b = n < 0 ? NULL : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
	char *p = b ? PyBytes_AsString(b) : NULL;
	for (off_t off = 0; b && off < n;) {
		ssize_t k = pread(fd, p + off, (size_t)(n - off), off);
		if (k <= 0 && !(k < 0 && errno == EINTR))
			Py_CLEAR(b);
		else
			off += k > 0 ? k : 0;
	}
	return b;
}

/* The new worker; does not come back. */
static void be_worker(const struct ask *a, const int *fds, PyObject *load, PyTypeObject *type)
{
	setsid();
	guard_arm();
	dup2(fds[FD_OUT], 1);
	dup2(fds[FD_ERR], 2);
	prctl(PR_SET_NAME, "prong-worker", 0, 0, 0);
	PyOS_AfterFork_Child();
	struct engine *e = (struct engine *)PyType_GenericAlloc(type, 0);
	struct worker *w = PyMem_Calloc(1, sizeof *w);
	if (!e || !w || map_all(e, w, fds) != 0)
		_exit(125);
	e->bell = fds[FD_BELL];
	e->nseats = a->nseats;
	e->flags = a->flags;
	e->chunk = a->chunk;
	e->max_tasks = a->max_tasks;
	e->max_rss_kb = a->max_rss_kb;
	w->eng = e;
	w->index = a->index;
	w->single = a->single;
	w->single_id = a->single_id;
	PyObject *payload = read_payload(fds[FD_PAYLOAD]);
	e->entry = payload ? PyObject_CallFunctionObjArgs(load, payload, NULL) : NULL;
	Py_XDECREF(payload);
	for (int i = 0; i < NFDS; i++)
		if (i != FD_BELL)
			close(fds[i]);
	if (!e->entry) {
		PyErr_Print();
		_exit(125);
	}
	int status = worker_main(w, -1);
	fflush(NULL);
	_exit(status);
}

/* 1: an ask with its descriptors; 0: the end. */
static int receive(int sock, struct ask *a, int *fds)
{
	union control c;
	struct iovec v = { a, sizeof *a };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c,
		            .msg_controllen = sizeof c.room };
	ssize_t n;
	while ((n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	struct cmsghdr *h = n == (ssize_t)sizeof *a ? CMSG_FIRSTHDR(&m) : NULL;
	if (!h || h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(NFDS * sizeof(int)))
		return 0;
	memcpy(fds, CMSG_DATA(h), NFDS * sizeof(int));
	return 1;
}

/* Handlers of the host's are not for us: we run no Python while we wait. */
static void default_handlers(void)
{
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction sa;
		if (sigaction(sig, NULL, &sa) != 0 || sa.sa_handler == SIG_IGN ||
		    sa.sa_handler == SIG_DFL)
			continue;
		sa = (struct sigaction){ .sa_handler = SIG_DFL };
		sigaction(sig, &sa, NULL);
	}
}

/* template_serve(socket, load): the template's life; load(payload) gives a worker its entry. */
PyObject *template_serve(PyObject *m, PyObject *args)
{
	int sock, fds[NFDS];
	struct ask a;
	PyObject *load, *type = PyObject_GetAttrString(m, "Engine");
	if (!type || !PyArg_ParseTuple(args, "iO", &sock, &load))
		return NULL;
	default_handlers();
	prctl(PR_SET_NAME, "prong-template", 0, 0, 0);
	while (receive(sock, &a, fds)) {
		PyOS_BeforeFork();
		int64_t pid = fork_sibling();
		if (pid == 0) {
			close(sock);
			be_worker(&a, fds, load, (PyTypeObject *)type);
		}
		if (pid < 0)
			pid = -errno;
		PyOS_AfterFork_Parent();
		for (int i = 0; i < NFDS; i++)
			close(fds[i]);
		if (send(sock, &pid, sizeof pid, MSG_NOSIGNAL) != (ssize_t)sizeof pid)
			break;
	}
	_exit(0);
}
