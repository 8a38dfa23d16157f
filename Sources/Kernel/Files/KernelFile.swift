// Small files: reading what the kernel writes, writing what it reads, and replacing our own whole.
internal import CLinux
internal import Glibc
package import SystemPackage

/// The bytes of a file of /proc, /sys or cgroupfs, whose size is not known before.
package func readKernelBytes(_ path: FilePath, at directory: Int32? = nil) throws(KernelError) -> [UInt8] {
  let file = try OwnedDescriptor.open(path, flags: O_RDONLY, at: directory)
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 16384)
  while true {
    let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(file.raw, $0.baseAddress, $0.count) }
    let error = errno
    if count < 0, error == EINTR { continue }
    guard count >= 0 else { throw KernelError("read", path.description, Errno(rawValue: error)) }
    guard count > 0 else { return bytes }
    bytes.append(contentsOf: chunk.prefix(count))
    // A file of our own may have tens of megabytes.
    if bytes.count > 1 << 18, chunk.count < 1 << 20 { chunk = [UInt8](repeating: 0, count: 1 << 20) }
  }
}

/// The text of such a file; what is not UTF-8 becomes U+FFFD.
package func readKernelFile(_ path: FilePath, at directory: Int32? = nil) throws(KernelError) -> String {
  String(decoding: try readKernelBytes(path, at: directory), as: UTF8.self)
}

/// Writes `text` to an existing file in one call, which is what kernel files ask for.
package func writeKernelFile(
  _ path: FilePath, _ text: String, at directory: Int32? = nil
) throws(KernelError) {
  let file = try OwnedDescriptor.open(path, flags: O_WRONLY, at: directory)
  let bytes = Array(text.utf8)
  let count = unsafe bytes.withUnsafeBytes { unsafe write(file.raw, $0.baseAddress, $0.count) }
  guard count >= 0 else { throw KernelError("write \(text) to", path.description, Errno(rawValue: errno)) }
}
