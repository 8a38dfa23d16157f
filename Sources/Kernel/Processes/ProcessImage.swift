// Replacing this process by another program.
internal import Glibc
internal import SystemPackage

/// This process, seen as something that another program can take over.
package enum ProcessImage {
  /// Runs a command in the place of this process; a name without `/` is looked for in `PATH`.
  ///
  /// Called on any thread, it ends the others and keeps the calling thread's network namespace. It returns only by
  /// throwing. The corresponding function is `execvp`.
  package static func replace(with command: [String]) throws(KernelError) -> Never {
    guard let name = command.first else { throw KernelError("run", "command", .invalidArgument, remedy: "name one") }
    let arguments: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) } + [nil]
    // The Swift runtime and the parent may have left SIGPIPE ignored, and that is inherited by what is run.
    _ = signal(SIGPIPE, SIG_DFL)
    let reason: Errno
    if let file = unsafe arguments[0] {
      unsafe execvp(file, arguments)
      reason = Errno(rawValue: errno)
    } else {
      reason = .noMemory
    }
    unsafe arguments.forEach { unsafe free($0) }
    throw KernelError(
      "run", name, reason, remedy: reason == .noSuchFileOrDirectory ? "check the name and PATH" : nil)
  }
}
