// A directory of a test's own, gone with whatever is in it.
internal import Glibc
package import Kernel
internal import SystemPackage

/// A new directory below /tmp that only root may enter; removed with everything in it when nobody holds it any more.
///
/// Keep it alive as long as the path is used: `defer { withExtendedLifetime(directory) {} }`, or call `with`.
package final class TemporaryDirectory: Sendable {
  /// Absolute, without a slash at its end.
  package let path: String

  /// Makes it.
  package init() throws(KernelError) {
    var name = Array("/tmp/sallyport-test-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&name) != nil else {
      throw KernelError("make", "temporary directory", Errno(rawValue: errno))
    }
    path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  /// Runs `body` with the path of a new directory that is gone afterwards.
  package static func with<T>(_ body: (String) async throws -> T) async throws -> T {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    return try await body(directory.path)
  }

  /// Removes a directory and everything below it; links are not followed.
  ///
  /// Again if somebody wrote into it meanwhile, as an agent's last snapshot does.
  package static func remove(_ path: String) {
    for _ in 0..<10 {
      for name in (try? directoryNames(path)) ?? [] {
        let child = "\(path)/\(name)"
        if unsafe unlink(child) != 0 { remove(child) }
      }
      if unsafe rmdir(path) == 0 || errno == ENOENT { return }
    }
  }
}
