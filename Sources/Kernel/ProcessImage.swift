// Replacing this process by another program.
internal import Glibc
public import SystemPackage

/// This process, seen as something that another program can take over.
public enum ProcessImage {
  /// Runs a command in the place of this process; a name without `/` is looked for in `PATH`.
  ///
  /// Called on any thread, it ends the others and keeps the calling thread's network namespace. It returns only by
  /// throwing. The corresponding function is `execvp`.
  public static func replace(with command: [String]) throws(KernelError) -> Never {
    guard let name = command.first else { throw KernelError("run", "command", .invalidArgument, remedy: "name one") }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    // The Swift runtime and the parent may have left SIGPIPE ignored, and that is inherited by what is run.
    unsafe signal(SIGPIPE, SIG_DFL)
    unsafe execvp(arguments[0], arguments)
    let reason = Errno(rawValue: errno)
    for argument in unsafe arguments { unsafe free(argument) }
    throw KernelError(
      "run", name, reason, remedy: reason == .noSuchFileOrDirectory ? "check the name and PATH" : nil)
  }
}
