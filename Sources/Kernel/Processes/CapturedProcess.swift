// Runs a program to its end with its input given and its output kept.
internal import CLinux
internal import Glibc
package import SystemPackage

/// What a program that has ended said.
package struct CapturedProcess: Equatable, Sendable {
  /// Its exit code, or 128 + the number of the signal that killed it.
  package let status: Int32
  /// What it wrote to its standard output; what is not UTF-8 is repaired.
  package let output: String
  /// What it wrote to its standard error.
  package let errors: String

  /// States what a program said.
  package init(status: Int32, output: String, errors: String) {
    self.status = status
    self.output = output
    self.errors = errors
  }

  /// Runs a program and waits for its end; the arguments mean the same as in `ChildProcess.start`.
  ///
  /// All three streams are files in memory, so that neither side ever waits for the other, however much is said. Throws
  /// ETIMEDOUT if it had to be killed because it ran longer than `limit`; with a limit it does not outlive this process
  /// either, which may end before that.
  package static func run(
    _ executable: FilePath, _ arguments: [String], environment: [String]? = nil,
    namespace: NetworkNamespace? = nil, input: String = "", within limit: Duration? = nil
  ) throws(KernelError) -> CapturedProcess {
    let given = try memory("input")
    let said = try memory("output")
    let complained = try memory("errors")
    let bytes = Array(input.utf8)
    var written = 0
    while written < bytes.count {
      let rest = bytes[written...]
      let count = unsafe rest.withUnsafeBytes { unsafe write(given.raw, $0.baseAddress, $0.count) }
      let error = errno
      if count < 0, error == EINTR { continue }
      try check(count < 0 ? -error : 0, "write input of", executable.string)
      written += count
    }
    _ = lseek(given.raw, 0, SEEK_SET)
    let child = try ChildProcess.start(
      executable, arguments, environment: environment, namespace: namespace, input: given.raw,
      output: said.raw, errors: complained.raw, diesWithCaller: limit != nil)
    let ended = if let limit { try child.wait(within: limit) } else { try child.wait() as Int32? }
    guard let status = ended else {
      throw KernelError("run", executable.string, .timedOut, remedy: "it was killed after \(limit ?? .zero)")
    }
    return CapturedProcess(status: status, output: try text(of: said), errors: try text(of: complained))
  }

  private static func memory(_ name: String) throws(KernelError) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try check(unsafe sp_memfd(name), "create", "file in memory"))
  }

  /// What is in a file, from its beginning.
  private static func text(of file: borrowing OwnedDescriptor) throws(KernelError) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16384)
    while true {
      let offset = off_t(bytes.count)
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe pread(file.raw, $0.baseAddress, $0.count, offset) }
      let error = errno
      if count < 0, error == EINTR { continue }
      try check(count < 0 ? -error : 0, "read", "output of a program")
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(contentsOf: chunk.prefix(count))
    }
  }
}
