// GNU-only calls behind names and return values that Swift can use safely; clinux.h says why each is here.
#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#ifndef CLONE_NEWNET
#define CLONE_NEWNET 0x40000000
#endif

// Kernel 5.8; glibc's own header does not name it.
#define SP_STATX_MNT_ID 0x1000

static int result(long rc) { return rc < 0 ? -errno : (int)rc; }

int sp_clone_newnet(void) { return CLONE_NEWNET; }
int sp_clone_newns(void) { return CLONE_NEWNS; }
int sp_setns(int fd, int nstype) { return result(setns(fd, nstype)); }
int sp_unshare(int flags) { return result(unshare(flags)); }
int sp_gettid(void) { return (int)syscall(SYS_gettid); }

int sp_pidfd_open(pid_t pid, unsigned flags) { return result(syscall(SYS_pidfd_open, pid, flags)); }

int sp_pidfd_send_signal(int pidfd, int signal) {
  return result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int sp_pidfd_getfd(int pidfd, int fd) { return result(syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }

int sp_socket_namespace(int fd) { return result(ioctl(fd, SIOCGSKNS)); }

int sp_socket_option(int fd, int option, int *value) {
  socklen_t size = sizeof *value;
  return result(getsockopt(fd, SOL_SOCKET, option, value, &size));
}

int sp_wait_pidfd(int pidfd, int *status) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int rc;
  do rc = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
  while (rc < 0 && errno == EINTR);
  if (rc < 0) return -errno;
  *status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  return 0;
}

int sp_membarrier_global(void) { return result(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)); }

int sp_openat(int dirfd, const char *path, int flags, unsigned mode) {
  return result(openat(dirfd, path, flags, mode));
}
int sp_accept(int fd, int flags) { return result(accept4(fd, NULL, NULL, flags)); }
int sp_pipe_cloexec(int fds[2]) { return result(pipe2(fds, O_CLOEXEC)); }
int sp_memfd(const char *name) { return result(memfd_create(name, MFD_CLOEXEC)); }

ssize_t sp_fgetxattr(int fd, const char *name, void *value, size_t size) {
  ssize_t n = fgetxattr(fd, name, value, size);
  return n < 0 ? -errno : n;
}
int sp_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
  return result(fsetxattr(fd, name, value, size, flags));
}
int sp_fremovexattr(int fd, const char *name) { return result(fremovexattr(fd, name)); }

int sp_statfs_magic(const char *path, uint64_t *magic) {
  struct statfs s;
  if (statfs(path, &s) < 0) return -errno;
  *magic = (uint64_t)(unsigned long)s.f_type;
  return 0;
}
int sp_mount(const char *source, const char *target, const char *type, unsigned long flags) {
  return result(mount(source, target, type, flags, NULL));
}

int sp_capget(uint64_t *effective, uint64_t *permitted) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &head, data) < 0) return -errno;
  *effective = data[0].effective | (uint64_t)data[1].effective << 32;
  *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  return 0;
}

int sp_capset_effective(uint64_t effective) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &head, data) < 0) return -errno;
  data[0].effective = (uint32_t)effective;
  data[1].effective = (uint32_t)(effective >> 32);
  return result(syscall(SYS_capset, &head, data));
}

static int socket_u64(int fd, int option, uint64_t *value) {
  socklen_t size = sizeof *value;
  return result(getsockopt(fd, SOL_SOCKET, option, value, &size));
}
int sp_socket_cookie(int fd, uint64_t *cookie) { return socket_u64(fd, SO_COOKIE, cookie); }
int sp_netns_cookie(int fd, uint64_t *cookie) { return socket_u64(fd, SO_NETNS_COOKIE, cookie); }

void sp_name_thread(const char *name) {
  char cut[16];
  strncpy(cut, name, 15);
  cut[15] = 0;
  pthread_setname_np(pthread_self(), cut);
}

// What the child tells its parent when it could not become the program: static text and errno.
struct failure {
  const char *step;
  int error;
};

// Runs in the child between clone and exec: only async-signal-safe calls, no allocation.
static void become(const struct sp_spawn *r, int report, const sigset_t *mask) {
  struct failure f = {.step = "setns", .error = 0};
  if (r->netns_fd >= 0 && setns(r->netns_fd, CLONE_NEWNET) < 0) goto fail;
  f.step = "dup2";
  for (int i = 0; i < 3; i++)
    if (r->stdio[i] >= 0 && (r->stdio[i] == i ? fcntl(i, F_SETFD, 0) : dup2(r->stdio[i], i)) < 0) goto fail;
  if (r->keep_fd >= 0 && fcntl(r->keep_fd, F_SETFD, 0) < 0) goto fail;
  // Ignored signals survive exec: the child starts with the defaults, as under any shell.
  for (int s = 1; s < 32; s++)
    if (s != SIGKILL && s != SIGSTOP) signal(s, SIG_DFL);
  sigprocmask(SIG_SETMASK, mask, NULL);
  f.step = "prctl";
  if (r->dies_with && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) goto fail;
  f.step = "execve";
  execve(r->path, r->argv, r->envp);
fail:
  f.error = errno;
  ssize_t ignored = write(report, &f, sizeof f);
  (void)ignored;
  _exit(127);
}

int sp_spawn(const struct sp_spawn *r, int *pidfd, const char **step) {
  int report[2];
  *step = "pipe2";
  if (pipe2(report, O_CLOEXEC) < 0) return -errno;
  int fd = -1;
  struct clone_args args = {
      .flags = CLONE_PIDFD | (r->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
      .pidfd = (uint64_t)(uintptr_t)&fd,
      .exit_signal = SIGCHLD,
      .cgroup = r->cgroup_fd >= 0 ? (uint64_t)r->cgroup_fd : 0,
  };
  // No handler of the parent may run in the child: it shares nothing but a copy of the parent's state.
  sigset_t all, old, none;
  sigfillset(&all);
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  *step = "clone3";
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) become(r, report[1], &none);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  close(report[1]);
  if (pid < 0) {
    close(report[0]);
    return -error;
  }
  struct failure f;
  ssize_t n;
  do n = read(report[0], &f, sizeof f);
  while (n < 0 && errno == EINTR);
  close(report[0]);
  if (n == (ssize_t)sizeof f) {
    int status;
    sp_wait_pidfd(fd, &status);
    close(fd);
    *step = f.step;
    return -f.error;
  }
  *pidfd = fd;
  return (int)pid;
}

char *const *sp_environment(void) { return environ; }

int sp_visit_every_cpu(void) {
  cpu_set_t old, one;
  if (sched_getaffinity(0, sizeof old, &old) < 0) return -errno;
  int rc = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE && rc == 0; cpu++) {
    if (!CPU_ISSET(cpu, &old)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    rc = result(sched_setaffinity(0, sizeof one, &one));
  }
  sched_setaffinity(0, sizeof old, &old);
  return rc;
}

int sp_instruction_counter(void) {
  struct perf_event_attr attributes = {
      .type = PERF_TYPE_HARDWARE, .size = sizeof attributes, .config = PERF_COUNT_HW_INSTRUCTIONS};
  return result((int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

int sp_open_by_id(int mount_fd, uint64_t id) {
  struct {
    struct file_handle head;
    uint64_t value;
  } handle = {.head = {.handle_bytes = sizeof id, .handle_type = 0xfe}};  // FILEID_KERNFS
  memcpy(handle.head.f_handle, &id, sizeof id);
  return result(open_by_handle_at(mount_fd, &handle.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

#ifndef FAN_REPORT_PIDFD
#define FAN_REPORT_PIDFD 0x80
#endif
#ifndef FAN_EVENT_INFO_TYPE_PIDFD
#define FAN_EVENT_INFO_TYPE_PIDFD 4
#endif
struct pidfd_record {
  uint8_t type, pad;
  uint16_t length;
  int32_t pidfd;
};

int sp_fanotify_exec_group(void) {
  // Without an own bound on the queue: an event that does not fit is an exec that nobody holds. Each waiting process has
  // one event, so the number of processes is the bound.
  unsigned flags = FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
  return result(fanotify_init(flags | FAN_REPORT_PIDFD, O_RDONLY | O_CLOEXEC | O_LARGEFILE | O_NOATIME));
}
int sp_fanotify_mark_exec(int group, const char *path) {
  return result(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, path));
}
int sp_fanotify_unmark_exec(int group, const char *path) {
  return result(fanotify_mark(group, FAN_MARK_REMOVE, FAN_OPEN_EXEC_PERM, AT_FDCWD, path));
}

int sp_fanotify_read_exec(int group, struct sp_exec_event *events, int count) {
  // Exactly as many records as fit: what is read must be answered, and each opens two descriptors.
  enum { record = sizeof(struct fanotify_event_metadata) + sizeof(struct pidfd_record) };
  char bytes[16 * record] __attribute__((aligned(8)));
  if (count > 16) count = 16;
  ssize_t n = read(group, bytes, (size_t)count * record);
  if (n < 0) return errno == EAGAIN ? 0 : -errno;
  int found = 0;
  for (const char *at = bytes; n >= (ssize_t)sizeof(struct fanotify_event_metadata) && found < count;) {
    struct fanotify_event_metadata head;
    memcpy(&head, at, sizeof head);
    if (head.event_len < sizeof head || head.event_len > (size_t)n) break;
    struct sp_exec_event event = {.file = head.fd, .pidfd = -1, .pid = head.pid};
    struct pidfd_record info;
    if (head.event_len >= sizeof head + sizeof info) {
      memcpy(&info, at + head.metadata_len, sizeof info);
      if (info.type == FAN_EVENT_INFO_TYPE_PIDFD && info.pidfd >= 0) event.pidfd = info.pidfd;
    }
    if (head.mask & FAN_Q_OVERFLOW) event.file = -1;
    events[found++] = event;
    at += head.event_len;
    n -= head.event_len;
  }
  return found;
}

int sp_fanotify_allow(int group, int file) {
  struct fanotify_response answer = {.fd = file, .response = FAN_ALLOW};
  return result(write(group, &answer, sizeof answer));
}

int sp_file_identity(int directory, const char *path, int follow, struct sp_file_identity *out) {
  struct statx s;
  // An empty path means the descriptor itself.
  int flags = AT_STATX_DONT_SYNC | AT_EMPTY_PATH | (follow ? 0 : AT_SYMLINK_NOFOLLOW);
  if (statx(directory, path, flags, STATX_BASIC_STATS | SP_STATX_MNT_ID, &s) < 0) return -errno;
  *out = (struct sp_file_identity){
      .device = (uint64_t)s.stx_dev_major << 32 | s.stx_dev_minor,
      .inode = s.stx_ino,
      .size = s.stx_size,
      .change_seconds = s.stx_ctime.tv_sec,
      .change_nanoseconds = s.stx_ctime.tv_nsec,
      .mode = s.stx_mode,
      .links = s.stx_nlink,
      .mount = s.stx_mask & SP_STATX_MNT_ID ? s.stx_mnt_id : 0,
  };
  return 0;
}

int sp_capability_bounding(uint64_t *bounding) {
  *bounding = 0;
  for (int capability = 0; capability < 64; capability++) {
    int rc = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    // The first one that this kernel does not know.
    if (rc < 0) return capability > 0 && errno == EINVAL ? 0 : -errno;
    *bounding |= (uint64_t)rc << capability;
  }
  return 0;
}

int sp_read_clock_state(struct sp_clock_state *state) {
  struct timex t = {.modes = 0};
  int rc = adjtimex(&t);
  if (rc < 0) return -errno;
  *state = (struct sp_clock_state){
      .maximum_error = t.maxerror,
      .offset = t.status & STA_NANO ? t.offset / 1000 : t.offset,
      .synchronized = rc != TIME_ERROR && !(t.status & STA_UNSYNC),
  };
  return 0;
}

int sp_wait_pidfd_until(int pidfd, int milliseconds) {
  struct pollfd request = {.fd = pidfd, .events = POLLIN};
  int rc;
  do rc = poll(&request, 1, milliseconds);
  while (rc < 0 && errno == EINTR);
  return result(rc);
}

const char *sp_bpf_helper_name(uint32_t number) {
#define SP_HELPER(name) [BPF_FUNC_##name] = "bpf_" #name
  static const char *const names[] = {__BPF_FUNC_MAPPER(SP_HELPER)};
#undef SP_HELPER
  return number < sizeof names / sizeof *names ? names[number] : NULL;
}

static int argument_count;
static char *const *arguments;

// glibc hands every constructor what main gets (_dl_init() in elf/dl-init.c, call_init() in csu/libc-start.c).
__attribute__((constructor)) static void keep_arguments(int count, char **vector) {
  argument_count = count;
  arguments = vector;
}

const char *sp_argument(int index) { return index < argument_count ? arguments[index] : NULL; }
