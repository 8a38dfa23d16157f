// Which file it is, and in which state: what tells two executables with one path apart.
internal import CLinux
internal import Glibc
package import SystemPackage

/// A file's inode and the state of its contents, as far as the kernel has them cached.
///
/// Asking never waits for a server: a file system of FUSE or of the network could hang or lie (AT_STATX_DONT_SYNC,
/// kernel 4.11).
package struct FileIdentity: Sendable, Hashable {
  /// The device of the file system: major number in the upper, minor in the lower 32 bits.
  package let device: UInt64
  /// The inode number.
  package let inode: UInt64
  /// The size in bytes.
  package let size: UInt64
  /// When contents or attributes last changed, in nanoseconds since 1970; nobody can set it.
  package let changed: Int64
  /// The id of the mount that it was reached through, as in /proc/PID/mountinfo; 0 before kernel 5.8.
  package let mount: UInt64
  /// Whether it has no name any more.
  package let isUnlinked: Bool
  /// Whether it is a regular file.
  package let isRegular: Bool
  /// Whether it is a directory.
  package let isDirectory: Bool

  /// What a path leads to, symbolic links (also those of /proc) followed; nil if it cannot be looked at.
  package static func at(_ path: String) -> FileIdentity? { read(AT_FDCWD, path) }

  /// Where symbolic links on a path lead in the end, as the kernel names executables; nil if it cannot be looked at.
  package static func resolved(_ path: String) -> FilePath? {
    // O_PATH, which is GNU's: the file itself is not opened.
    (try? OwnedDescriptor.open(FilePath(path), flags: 0x20_0000))?.target
  }

  /// What is open.
  package static func of(_ file: borrowing OwnedDescriptor) -> FileIdentity? { read(file.raw, "") }

  private static func read(_ directory: Int32, _ path: String) -> FileIdentity? {
    // An empty path would mean the working directory here.
    guard !path.isEmpty || directory != AT_FDCWD else { return nil }
    var found = sp_file_identity()
    guard unsafe sp_file_identity(directory, path, 1, &found) == 0 else { return nil }
    return FileIdentity(
      device: found.device, inode: found.inode, size: found.size,
      changed: found.change_seconds &* 1_000_000_000 &+ Int64(found.change_nanoseconds), mount: found.mount,
      isUnlinked: found.links == 0, isRegular: found.mode & UInt32(S_IFMT) == UInt32(S_IFREG),
      isDirectory: found.mode & UInt32(S_IFMT) == UInt32(S_IFDIR))
  }

  /// Whether both are the same inode, whatever its state and wherever it is mounted.
  package func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}
