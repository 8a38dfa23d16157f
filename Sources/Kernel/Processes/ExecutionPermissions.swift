// Holds processes at the moment when they begin to run a certain file: fanotify permission events.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// One process that waits in execve(2), before the new program exists.
package struct HeldExecution: ~Copyable, Sendable {
  /// The process, or what will be it: it still runs its old program.
  package let process: ProcessHandle
  /// The file that is about to run, open for reading.
  package let file: OwnedDescriptor
}

/// A group of marks on files; an exec of a marked file waits until somebody allows it.
///
/// When the group is closed, also because its process died, the kernel lets everything that waits go on: nothing hangs.
/// Needs CAP_SYS_ADMIN, and a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, from 5.15 on.
package final class ExecutionPermissions: Sendable {
  private let group: OwnedDescriptor

  /// Makes a group without marks; EINVAL where the kernel has no such events.
  package init() throws(KernelError) {
    let rc = sp_fanotify_exec_group()
    let remedy: String? =
      switch rc {
      case -EINVAL, -ENOSYS: "needs Linux 5.15 with CONFIG_FANOTIFY_ACCESS_PERMISSIONS"
      case -EPERM: "run with CAP_SYS_ADMIN"
      case -EMFILE: "raise fs.fanotify.max_user_groups"
      default: nil
      }
    group = OwnedDescriptor(adopting: try check(rc, "create", "fanotify group", remedy: remedy))
  }

  /// The group's descriptor, readable when an exec waits.
  package var descriptor: Int32 { group.raw }

  /// Marks the inode that a path leads to; the mark goes when the inode does.
  package func mark(_ path: String) throws(KernelError) {
    let rc = unsafe sp_fanotify_mark_exec(group.raw, path)
    let remedy = rc == -EINVAL ? "the kernel lacks CONFIG_FANOTIFY_ACCESS_PERMISSIONS" : nil
    try check(rc, "watch execution of", path, remedy: remedy)
  }

  /// Removes the mark of the inode that a path leads to; none there is success.
  package func unmark(_ path: String) throws(KernelError) {
    let rc = unsafe sp_fanotify_unmark_exec(group.raw, path)
    if rc == -ENOENT { return }
    try check(rc, "stop watching execution of", path)
  }

  /// Hands over at most `limit` execs that wait, without waiting itself; returns how many there were.
  ///
  /// Each costs two descriptors until it is released: keep some free, since the kernel *refuses* an exec whose event
  /// cannot be delivered. One whose process is gone, or is not visible from this pid namespace, is allowed at once.
  package func read(
    upTo limit: Int, _ body: (consuming HeldExecution) -> Void
  ) throws(KernelError) -> Int {
    var events = [sp_exec_event](repeating: sp_exec_event(), count: min(limit, 16))
    let rc = unsafe events.withUnsafeMutableBufferPointer { buffer in
      unsafe sp_fanotify_read_exec(group.raw, buffer.baseAddress, Int32(buffer.count))
    }
    let count = Int(try check(rc, "read", "fanotify group"))
    for event in events.prefix(count) where event.file >= 0 {
      let file = OwnedDescriptor(adopting: event.file)
      guard event.pidfd >= 0 else {
        allow(file)
        continue
      }
      let pidfd = OwnedDescriptor(adopting: event.pidfd)
      body(HeldExecution(process: ProcessHandle(id: ProcessID(rawValue: event.pid), descriptor: pidfd), file: file))
    }
    return count
  }

  /// Lets an exec go on; once for each, before its file is closed.
  package func allow(_ file: borrowing OwnedDescriptor) {
    // Fails only when the process was killed while it waited.
    _ = sp_fanotify_allow(group.raw, file.raw)
  }
}
