// Starts programs that are in their cgroup and network namespace before their first instruction.
internal import CLinux
internal import Glibc
package import SystemPackage

/// A program that this process started, held by pidfd; it runs on when this value goes.
package struct ChildProcess: ~Copyable, Sendable {
  /// The process.
  package let handle: ProcessHandle

  /// Starts a program.
  ///
  /// `executable` is a path, not searched for; `arguments` leave out the name of the program. `environment` nil means
  /// this process's own. A nil cgroup, namespace or stream means this process's own. `inherited` stays open in the
  /// child under the same number. With `diesWithCaller` it is killed when the calling thread ends, for which that thread
  /// has to wait for it (prctl(2), PR_SET_PDEATHSIG). The corresponding function is `clone3` with CLONE_INTO_CGROUP;
  /// kernel 5.7.
  package static func start(
    _ executable: FilePath, _ arguments: [String], environment: [String]? = nil,
    cgroup: CgroupDirectory? = nil, namespace: NetworkNamespace? = nil,
    input: Int32? = nil, output: Int32? = nil, errors: Int32? = nil, inherited: Int32? = nil,
    diesWithCaller: Bool = false
  ) throws(KernelError) -> ChildProcess {
    let words = unsafe CStringVector([executable.string] + arguments)
    let variables = unsafe environment.map { unsafe CStringVector($0) }
    defer {
      unsafe words.deallocate()
      unsafe variables?.deallocate()
    }
    var pidfd: Int32 = -1
    var step: UnsafePointer<CChar>?
    let rc = unsafe executable.withPlatformString { path in
      var request = unsafe sp_spawn()
      unsafe request.path = path
      unsafe request.argv = UnsafePointer(words.pointer)
      unsafe request.envp = variables.map { unsafe UnsafePointer($0.pointer) } ?? sp_environment()
      unsafe request.cgroup_fd = cgroup?.descriptor.raw ?? -1
      unsafe request.netns_fd = namespace?.descriptor.raw ?? -1
      unsafe request.stdio = (input ?? -1, output ?? -1, errors ?? -1)
      unsafe request.keep_fd = inherited ?? -1
      unsafe request.dies_with = diesWithCaller ? 1 : 0
      return unsafe sp_spawn(&request, &pidfd, &step)
    }
    let failed = unsafe step.map { unsafe String(cString: $0) } ?? "start"
    try check(rc, "start", "\(executable) at \(failed)")
    return ChildProcess(
      handle: ProcessHandle(id: ProcessID(rawValue: rc), descriptor: OwnedDescriptor(adopting: pidfd)))
  }

  /// Waits for its end; the result is its exit code, or 128 + the number of the signal that killed it.
  package borrowing func wait() throws(KernelError) -> Int32 {
    var status: Int32 = 0
    let rc = unsafe sp_wait_pidfd(handle.descriptor.raw, &status)
    try check(rc, "wait for", "process \(handle.id)")
    return status
  }

  /// The same, but one that still runs after `limit` is killed, and the result is nil.
  package borrowing func wait(within limit: Duration) throws(KernelError) -> Int32? {
    let milliseconds = Int32(clamping: max(limit / .milliseconds(1), 0).rounded(.up).asInt64)
    let hasEnded = try check(
      sp_wait_pidfd_until(handle.descriptor.raw, milliseconds), "wait for", "process \(handle.id)")
    if hasEnded > 0 { return try wait() }
    // It may have ended meanwhile: then there is nobody to kill, and it is too late all the same.
    try? handle.send(signal: SIGKILL)
    _ = try wait()
    return nil
  }
}

extension Double {
  /// Of a number that is not negative; the largest Int64 for what does not fit.
  fileprivate var asInt64: Int64 { self < 9e18 ? Int64(self) : .max }
}

/// A NULL-terminated vector of C strings that execve reads; freed by its user.
@unsafe private struct CStringVector {
  let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  let count: Int

  init(_ words: [String]) {
    unsafe count = words.count
    unsafe pointer = .allocate(capacity: words.count + 1)
    for (index, word) in words.enumerated() { unsafe (pointer + index).initialize(to: strdup(word)) }
    unsafe (pointer + words.count).initialize(to: nil)
  }

  func deallocate() {
    for index in unsafe 0..<count { unsafe free(pointer[index]) }
    unsafe pointer.deallocate()
  }
}
