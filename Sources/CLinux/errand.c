// A child process that makes sockets and uses them for its parent: it stands in a cgroup where the parent is not.
#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT 3

struct request {
  struct sp_errand head;
  uint8_t bytes[16384];
};

static int outcome(long rc) { return rc < 0 ? -errno : (int)rc; }

// One message with at most one descriptor; returns the bytes received, 0 at the end.
static ssize_t take(int fd, void *bytes, size_t size, int *passed) {
  char room[CMSG_SPACE(sizeof(int))];
  struct iovec part = {bytes, size};
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  ssize_t count;
  do count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  while (count < 0 && errno == EINTR);
  *passed = -1;
  struct cmsghdr *head = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
    memcpy(passed, CMSG_DATA(head), sizeof *passed);
  return count;
}

static int give(int fd, const void *bytes, size_t size, int passed) {
  char room[CMSG_SPACE(sizeof(int))];
  memset(room, 0, sizeof room);
  struct iovec part = {(void *)bytes, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (passed >= 0) {
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &passed, sizeof passed);
  }
  return outcome(sendmsg(fd, &message, MSG_NOSIGNAL));
}

static int enter(int namespace) {
  int rc = outcome(setns(namespace, CLONE_NEWNET));
  close(namespace);
  return rc;
}

static int stay_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < 0) cpu = sched_getcpu();
  if (cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : cpu;
}

static int run(const struct request *r, int passed) {
  const struct sp_errand *e = &r->head;
  const struct sockaddr *name = e->name_length ? (const struct sockaddr *)r->bytes : NULL;
  switch (e->kind) {
    case SP_ERRAND_SOCKET: return outcome(socket(e->arguments[0], e->arguments[1], e->arguments[2]));
    case SP_ERRAND_CONNECT: return outcome(connect(e->arguments[0], name, e->name_length));
    case SP_ERRAND_SEND:
      return outcome(sendto(
        e->arguments[0], r->bytes + e->name_length, e->payload_length, e->arguments[1] | MSG_NOSIGNAL, name,
        e->name_length));
    case SP_ERRAND_ENTER: return enter(passed);
    case SP_ERRAND_KEEP: return passed;
    case SP_ERRAND_CLOSE: return outcome(close(e->arguments[0]));
    case SP_ERRAND_CPU: return stay_on(e->arguments[0]);
    default: return -ENOSYS;
  }
}

// Only what signal-safety(7) allows: other threads of the parent may have held any lock when it forked.
static void serve(int fd) {
  static struct request r;
  if (fd != KEPT && dup2(fd, KEPT) < 0) _exit(1);
  // The parent's locks and sockets are not this process's: they must end when the parent ends.
  close(0), close(1), close(2);
  if (syscall(SYS_close_range, KEPT + 1, ~0U, 0) < 0)
    for (int other = KEPT + 1; other < 65536; other++) close(other);
  int passed;
  ssize_t count;
  while ((count = take(KEPT, &r, sizeof r, &passed)) > 0) {
    size_t rest = (size_t)count - sizeof r.head;
    int fits = (size_t)count >= sizeof r.head && (size_t)r.head.name_length + r.head.payload_length == rest;
    int rc = fits ? run(&r, passed) : -EINVAL;
    if (give(KEPT, &rc, sizeof rc, r.head.kind == SP_ERRAND_SOCKET && rc >= 0 ? rc : -1) < 0) break;
  }
  _exit(0);
}

// In its cgroup from its first instruction where the kernel can (5.7): moving a process there costs a grace period.
static pid_t begin(int cgroup, int *placed) {
  struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
  long pid = syscall(SYS_clone3, &args, sizeof args);
  *placed = pid >= 0;
  return pid >= 0 ? (pid_t)pid : fork();
}

int sp_errand_start(int cgroup, int *channel, int *placed) {
  int ends[2];
  int rc = outcome(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
  if (rc < 0) return rc;
  // No handler of the parent may run in the child.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pid_t child = begin(cgroup, placed);
  if (child == 0) serve(ends[1]);
  int reason = errno;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return -reason;
  }
  *channel = ends[0];
  return child;
}

int sp_errand_run(int channel, const struct sp_errand *e, const uint8_t *bytes, int passed, int *made) {
  struct request r = {.head = *e};
  size_t length = (size_t)e->name_length + e->payload_length;
  *made = -1;
  if (length > sizeof r.bytes) return -EMSGSIZE;
  if (length) memcpy(r.bytes, bytes, length);
  int rc = give(channel, &r, sizeof r.head + length, passed);
  if (rc < 0) return rc;
  int result;
  ssize_t count = take(channel, &result, sizeof result, made);
  if (count < 0) return -errno;
  return count == sizeof result ? result : -EPIPE;
}

int sp_errand_end(int pid) {
  int rc;
  kill(pid, SIGKILL);
  do rc = outcome(waitpid(pid, NULL, 0));
  while (rc == -EINTR);
  return rc;
}
