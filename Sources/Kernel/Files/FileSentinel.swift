// Says whether watched paths changed since the last question, without a thread and without waiting.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A set of watched paths that can be asked, in less than a microsecond, whether anything happened to them.
///
/// The kernel queues an event before the system call that caused it returns: who asks after a change hears of it. That
/// is what a cache needs; to be told without asking, use `FileWatch`.
package final class FileSentinel: Sendable {
  private let inotify: OwnedDescriptor

  /// Watches nothing yet; EMFILE at the limit `fs.inotify.max_user_instances`.
  package init() throws(KernelError) {
    let raw = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    inotify = OwnedDescriptor(
      adopting: try check(raw < 0 ? -errno : raw, "create", "inotify", remedy: "raise fs.inotify.max_user_instances"))
  }

  /// Watches one more path, or one whose inode is new; false if it is not there.
  ///
  /// ENOSPC at the limit `fs.inotify.max_user_watches`.
  package func watch(_ path: String) throws(KernelError) -> Bool {
    let number = unsafe inotify_add_watch(inotify.raw, path, FileWatch.changes | UInt32(IN_ATTRIB))
    let rc = number < 0 ? -errno : number
    if rc == -ENOENT || rc == -ENOTDIR { return false }
    try check(rc, "watch", path, remedy: "raise fs.inotify.max_user_watches")
    return true
  }

  /// Whether anything happened since the last call; lost events count as something.
  package func hasChanged() -> Bool {
    var bytes = [UInt8](repeating: 0, count: 4096)
    var changed = false
    while unsafe bytes.withUnsafeMutableBytes({ unsafe read(inotify.raw, $0.baseAddress, $0.count) }) > 0 {
      changed = true
    }
    return changed
  }
}
