// Programs of the system that a run needs, in the run's own namespaces.

internal import Glibc
internal import Kernel
internal import SystemPackage

/// A program by its name.
struct SystemProgram: Sendable {
  /// Where it is.
  let path: FilePath

  /// Looks where such programs are; `package` is what to install if it is not there.
  init(_ name: String, package: String) throws(KernelError) {
    for directory in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
      let path = "\(directory)/\(name)"
      guard unsafe access(path, X_OK) == 0 else { continue }
      self.path = FilePath(path)
      return
    }
    throw KernelError("find", name, .noSuchFileOrDirectory, remedy: "install \(package)")
  }

  /// A program that was built beside this one.
  static func beside(_ name: String, remedy: String) throws(KernelError) -> String {
    let own = try executable()
    let path = own.removingLastComponent().appending(name).string
    guard unsafe access(path, X_OK) == 0 else {
      throw KernelError("find", path, .noSuchFileOrDirectory, remedy: remedy)
    }
    return path
  }

  /// This program's own file.
  static func executable() throws(KernelError) -> FilePath {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
    try check(count < 0 ? -errno : 0, "read", "/proc/self/exe")
    return FilePath(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  /// Runs it to its end; what it complains about is in the error.
  func run(_ arguments: [String], in namespace: NetworkNamespace, input: String = "") throws(KernelError) {
    let said = try CapturedProcess.run(path, arguments, namespace: namespace, input: input)
    guard said.status == 0 else {
      throw KernelError("run", ([path.string] + arguments).joined(separator: " "), .canceled, remedy: said.errors)
    }
  }
}
