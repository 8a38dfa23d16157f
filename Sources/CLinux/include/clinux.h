// What Linux offers and the Glibc module does not show to Swift: GNU-only calls and missing headers.
// Every sp_ function returns what the call returned, or -errno: nothing can change errno between call and read.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <malloc.h>
#include <sys/types.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/magic.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>

// CLONE_* and setns/unshare exist only under _GNU_SOURCE, which Swift's Glibc module is built without.
int sp_clone_newnet(void);
int sp_clone_newns(void);
int sp_setns(int fd, int nstype);
int sp_unshare(int flags);
int sp_gettid(void);

// glibc 2.36 declares pidfd_open in a header the module lacks; a pidfd cannot come to mean another process.
int sp_pidfd_open(pid_t pid, unsigned flags);
int sp_pidfd_send_signal(int pidfd, int signal);
// A copy of another process's descriptor, close-on-exec; 5.6.
int sp_pidfd_getfd(int pidfd, int fd);
// The network namespace of a socket (SIOCGSKNS), as a descriptor.
int sp_socket_namespace(int fd);
// SOL_SOCKET options that are ints: SO_DOMAIN, SO_PROTOCOL.
int sp_socket_option(int fd, int option, int *value);
// Waits for the child behind a pidfd; `status` gets the exit code, or 128 + the signal's number.
int sp_wait_pidfd(int pidfd, int *status);

// Waits until every CPU has passed a quiescent state: what read a map slot before has finished.
int sp_membarrier_global(void);

// open(2) is variadic; mode is ignored unless O_CREAT.
int sp_openat(int dirfd, const char *path, int flags, unsigned mode);
int sp_pipe_cloexec(int fds[2]);
// A file in memory that goes with its last descriptor, close-on-exec.
int sp_memfd(const char *name);

// accept4(2): close-on-exec from the start, so that no child started meanwhile inherits the connection.
int sp_accept(int fd, int flags);

// Extended attributes of a directory held by descriptor.
ssize_t sp_fgetxattr(int fd, const char *name, void *value, size_t size);
int sp_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags);
int sp_fremovexattr(int fd, const char *name);

// The magic number of the filesystem that holds `path`, in *magic.
int sp_statfs_magic(const char *path, uint64_t *magic);
int sp_mount(const char *source, const char *target, const char *type, unsigned long flags);

// glibc has no wrapper for the capability calls.
int sp_capget(uint64_t *effective, uint64_t *permitted);
int sp_capset_effective(uint64_t effective);

// A socket's own namespace and socket cookies; SO_NETNS_COOKIE is missing from older headers.
int sp_socket_cookie(int fd, uint64_t *cookie);
int sp_netns_cookie(int fd, uint64_t *cookie);

// pthread_setname_np is GNU-only; the name is cut to 15 bytes.
void sp_name_thread(const char *name);

// clone3(CLONE_INTO_CGROUP | CLONE_PIDFD): the child is in its cgroup before its first instruction.
struct sp_spawn {
  const char *path;
  char *const *argv;
  char *const *envp;
  int cgroup_fd;     // -1 = the caller's
  int netns_fd;      // -1 = the caller's
  int stdio[3];      // -1 = the caller's
  int keep_fd;       // passed on to the child although it is close-on-exec; -1 = none
  int dies_with;     // not 0: the child is killed when the calling thread ends (PR_SET_PDEATHSIG)
};
// Returns the child's pid, or -errno of the step that failed, named in *step (static storage).
int sp_spawn(const struct sp_spawn *request, int *pidfd, const char **step);
// The environment of this process: `environ` is a global that Swift cannot read safely.
char *const *sp_environment(void);
// Runs the calling thread once on every CPU it may use, then restores its affinity.
int sp_visit_every_cpu(void);
// Counts the instructions of the calling thread, in the kernel and outside, from now on: perf_event_open(2).
// -ENOENT or -EOPNOTSUPP where the processor (or its virtual machine) has no counters.
int sp_instruction_counter(void);
// Opens what a file handle id (a cgroup's) stands for, through any descriptor on the same filesystem.
int sp_open_by_id(int mount_fd, uint64_t id);

// fanotify with permission events on exec; FAN_REPORT_PIDFD (kernel 5.15) is missing from older headers.
int sp_fanotify_exec_group(void);
// Adds or removes the mark on the inode that `path` leads to (symbolic links followed).
int sp_fanotify_mark_exec(int group, const char *path);
int sp_fanotify_unmark_exec(int group, const char *path);
// One exec that waits for an answer; `pid` is 0 when it is in another pid namespace.
struct sp_exec_event {
  int file;    // open for reading, -1 = events were lost
  int pidfd;   // -1 = the process is gone already
  int pid;
  int pad;
};
// Reads at most `count` events (16 at most) without blocking; 0 = none now. The caller owns the descriptors.
int sp_fanotify_read_exec(int group, struct sp_exec_event *events, int count);
// Lets the exec behind an event's file go on.
int sp_fanotify_allow(int group, int file);

// What identifies a file and its contents, from what the kernel has cached: never waits for a FUSE or network server.
struct sp_file_identity {
  uint64_t device;       // major << 32 | minor
  uint64_t inode;
  uint64_t size;         // bytes
  int64_t change_seconds;
  uint32_t change_nanoseconds;
  uint32_t mode;         // type and permission bits
  uint64_t links;
  uint64_t mount;        // the mount's id in mountinfo; 0 before kernel 5.8
};
int sp_file_identity(int directory, const char *path, int follow, struct sp_file_identity *out);

// A child process that makes sockets and uses them for its parent, because the kernel asks which cgroup it is in.
enum sp_errand_kind {
  SP_ERRAND_SOCKET,   // family, type, protocol; the parent gets a copy of the descriptor
  SP_ERRAND_CONNECT,  // descriptor; name
  SP_ERRAND_SEND,     // descriptor, flags; name (may be empty), payload
  SP_ERRAND_ENTER,    // the network namespace whose descriptor is passed
  SP_ERRAND_KEEP,     // the descriptor that is passed; the result is its number there
  SP_ERRAND_CLOSE,    // descriptor
  SP_ERRAND_CPU,      // the one CPU to run on, -1 = where it runs now; the result is its number
};
struct sp_errand {
  int kind;
  int arguments[3];
  uint32_t name_length;     // bytes
  uint32_t payload_length;  // bytes; name and payload together at most 16 KiB
};
// Starts the child (it ends when *channel is closed); returns its pid. If *placed is 0 it is still in the caller's cgroup.
int sp_errand_start(int cgroup, int *channel, int *placed);
// Has one errand run and waits; the result of the call, or -errno. `bytes` are name and payload; the descriptor `passed`
// goes along unless it is -1; `made` is a copy of a new socket, or -1.
int sp_errand_run(int channel, const struct sp_errand *errand, const uint8_t *bytes, int passed, int *made);
// Kills the child and waits for its end.
int sp_errand_end(int pid);

// The bounding set of capabilities of the calling thread, a bit for each.
int sp_capability_bounding(uint64_t *bounding);
// adjtimex(2) without a change.
struct sp_clock_state {
  int64_t maximum_error;  // microseconds
  int64_t offset;         // microseconds
  int synchronized;
  int pad;
};
int sp_read_clock_state(struct sp_clock_state *state);
// Waits for the end of the process behind a pidfd; 0 = it still runs after that time, 1 = it has ended.
int sp_wait_pidfd_until(int pidfd, int milliseconds);
// What a BPF helper is called, such as `bpf_map_lookup_elem`; NULL for one that the headers do not know.
const char *sp_bpf_helper_name(uint32_t number);
// An argument of this program, 0 = its name; NULL after the last. Swift's own list is read from /proc/self/cmdline.
const char *sp_argument(int index);
