// One owner at a time: an advisory lock that the kernel drops with its holder.
internal import Glibc
package import SystemPackage

/// An exclusive or shared lock on a file, held as long as this value lives.
package struct FileLock: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor

  private init(descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  deinit {
    // Closing is not enough: a child between fork and exec has the same open file, and would hold the lock.
    _ = flock(descriptor.raw, LOCK_UN)
  }

  /// Takes the lock at once or throws EAGAIN whose remedy names the holder, if it wrote its number.
  ///
  /// The file is made if it is missing, mode 0640; an exclusive holder writes its process id into it.
  package static func acquire(_ path: FilePath, shared: Bool = false) throws(KernelError) -> FileLock {
    let file = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o640)
    let rc = flock(file.raw, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB)
    let error = errno
    guard rc == 0 else {
      let holder = (try? readKernelFile(path)).flatMap { Int32($0.prefix { $0 != "\n" }) }
      let remedy = error == EWOULDBLOCK ? holder.map { "process \($0) holds it" } : nil
      throw KernelError("lock", path.description, Errno(rawValue: error), remedy: remedy)
    }
    if !shared {
      let text = Array("\(getpid())\n".utf8)
      // The number is a courtesy to others: the lock holds without it.
      _ = ftruncate(file.raw, 0)
      _ = unsafe text.withUnsafeBytes { unsafe pwrite(file.raw, $0.baseAddress, $0.count, 0) }
    }
    return FileLock(descriptor: file)
  }
}

/// Replaces a file whole: readers see the old bytes or the new, also after a crash.
///
/// A temporary file beside it is written, flushed and renamed over it; then the directory is flushed.
package func replaceFile(_ path: FilePath, with bytes: [UInt8], mode: UInt32 = 0o640) throws(KernelError) {
  try replaceFile(path, mode: mode) { (write) throws(KernelError) in try write(bytes) }
}

/// Likewise, for what is too large to be made at once: `fill` gets what to call for every part, in order.
///
/// - Throws: also what `fill` throws; the file is then as it was.
package func replaceFile(
  _ path: FilePath, mode: UInt32 = 0o640,
  _ fill: (_ write: ([UInt8]) throws(KernelError) -> Void) throws(KernelError) -> Void
) throws(KernelError) {
  let temporary = FilePath(bytes: path.bytes + Array(".new.\(getpid())".utf8))
  let file = try OwnedDescriptor.open(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
  do {
    try fill { (bytes) throws(KernelError) in try writeAll(bytes, to: file, path) }
    try check(fsync(file.raw) < 0 ? -errno : 0, "flush", path.description)
    let rc = unsafe temporary.withPlatformString { old in
      unsafe path.withPlatformString { unsafe rename(old, $0) < 0 ? -errno : 0 }
    }
    try check(rc, "replace", path.description)
  } catch {
    _ = unsafe temporary.withPlatformString { unsafe unlink($0) }
    throw error
  }
  let parent = path.removingLastComponent()
  let directory = try OwnedDescriptor.open(parent.isEmpty ? "." : parent, flags: O_RDONLY | O_DIRECTORY)
  try check(fsync(directory.raw) < 0 ? -errno : 0, "flush", parent.description)
}

private func writeAll(
  _ bytes: [UInt8], to file: borrowing OwnedDescriptor, _ path: FilePath
) throws(KernelError) {
  var done = 0
  while done < bytes.count {
    let count = unsafe bytes.withUnsafeBytes { bytes in
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      return unsafe write(file.raw, rest.baseAddress, rest.count)
    }
    let error = errno
    if count < 0, error == EINTR { continue }
    guard count >= 0 else { throw KernelError("write", path.description, Errno(rawValue: error)) }
    done += count
  }
}
