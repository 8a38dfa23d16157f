// Directories, and files that people write: what is needed of them with errors that name the path.
internal import Glibc
internal import SystemPackage

/// What a path leads to, symbolic links followed.
package enum FileKind: Sendable {
  /// A regular file.
  case regular
  /// A directory.
  case directory
  /// A device, a FIFO, a socket.
  case other

  fileprivate init(_ status: stat) {
    switch status.st_mode & S_IFMT {
    case S_IFREG: self = .regular
    case S_IFDIR: self = .directory
    default: self = .other
    }
  }

  /// What is at a path; throws ENOENT, ELOOP and the like.
  package static func at(_ path: String) throws(KernelError) -> FileKind {
    var status = stat()
    let rc = unsafe stat(path, &status) < 0 ? -errno : 0
    try check(rc, "look at", path)
    return FileKind(status)
  }
}

/// Whether something is at a path that can be reached.
package func isThere(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

/// Whether the directory at a path may not be searched, so that nothing in it can be said to be missing.
package func isHidden(_ path: String) -> Bool { unsafe access(path, X_OK) != 0 && errno == EACCES }

/// Makes a directory whose parent is there; one that is there already is success if `mayExist`.
package func makeDirectory(_ path: String, mode: UInt32 = 0o750, mayExist: Bool = false) throws(KernelError) {
  let rc = unsafe mkdir(path, mode) < 0 ? -errno : 0
  if mayExist, rc == -EEXIST { return }
  try check(rc, "make directory", path)
}

/// Removes an empty directory; a missing one is success.
package func removeDirectory(_ path: String) throws(KernelError) {
  let rc = unsafe rmdir(path) < 0 ? -errno : 0
  if rc == -ENOENT { return }
  try check(rc, "remove directory", path)
}

/// Removes a file; a missing one is success.
package func removeFile(_ path: String) throws(KernelError) {
  let rc = unsafe unlink(path) < 0 ? -errno : 0
  if rc == -ENOENT { return }
  try check(rc, "remove", path)
}

/// Gives a file or directory another name in one step.
package func move(_ old: String, to new: String) throws(KernelError) {
  let rc = unsafe rename(old, new) < 0 ? -errno : 0
  try check(rc, "move \(old) to", new)
}

/// The names in a directory but `.` and `..`, sorted by their bytes; what is not UTF-8 is repaired.
package func directoryNames(_ path: String) throws(KernelError) -> [String] {
  guard let directory = unsafe opendir(path) else { throw KernelError("list", path, Errno(rawValue: errno)) }
  defer { unsafe closedir(directory) }
  var names: [String] = []
  while let entry = unsafe readdir(directory) {
    let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// The bytes of a regular file as one writer left them.
///
/// Throws EINVAL for what is no regular file, EFBIG beyond `limit` bytes, EAGAIN if it changed while it was read.
package func readRegularFile(_ path: String, limit: Int) throws(KernelError) -> [UInt8] {
  // Not blocking: a FIFO in the place of a file must not hang the reader.
  let file = try OwnedDescriptor.open(FilePath(path), flags: O_RDONLY | O_NONBLOCK)
  let before = try status(of: file, path)
  guard FileKind(before) == .regular else {
    throw KernelError("read", path, .invalidArgument, remedy: "it is no regular file")
  }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while bytes.count <= limit, before.st_size <= limit {
    let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(file.raw, $0.baseAddress, $0.count) }
    let error = errno
    if count < 0, error == EINTR { continue }
    guard count >= 0 else { throw KernelError("read", path, Errno(rawValue: error)) }
    guard count > 0 else { break }
    bytes.append(contentsOf: chunk.prefix(count))
  }
  guard bytes.count <= limit, before.st_size <= limit else {
    throw KernelError("read", path, .fileTooLarge, remedy: "it may have at most \(limit >> 20) MiB")
  }
  let after = try status(of: file, path)
  guard before.st_size == bytes.count, before.st_size == after.st_size,
    before.st_mtim.tv_sec == after.st_mtim.tv_sec, before.st_mtim.tv_nsec == after.st_mtim.tv_nsec
  else {
    throw KernelError(
      "read", path, .resourceTemporarilyUnavailable, remedy: "it changed while it was read; write beside it and rename")
  }
  return bytes
}

private func status(of file: borrowing OwnedDescriptor, _ path: String) throws(KernelError) -> stat {
  var status = stat()
  try check(unsafe fstat(file.raw, &status) < 0 ? -errno : 0, "look at", path)
  return status
}
