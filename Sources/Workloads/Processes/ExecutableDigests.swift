// SHA-256 of executables, each computed once for every state of a file.
internal import Crypto
internal import Dispatch
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// Digests by inode, size and time of change; nobody can set that time, so a file that was written to is read again.
///
/// A small file is read at once; a large one on a queue of its own, and whoever asked is told through `learned`. Files
/// whose contents a server chooses for every reader (FUSE, network file systems) have no digest here: the server could
/// show us one program and run another.
package final class ExecutableDigests: Sendable {
  /// Read at once up to this size, in bytes: a few milliseconds.
  package static let quickSize: UInt64 = 4 << 20
  /// Larger files have no digest.
  package static let maximumSize: UInt64 = 1 << 30
  /// States of files that are remembered.
  static let capacity = 8192

  private let state = Mutex(State())
  private let queue = DispatchQueue(label: "sallyport.digests", qos: .utility)
  private let learned: @Sendable () -> Void

  private struct State {
    /// Nil for a file that has no digest in this state.
    var known: [FileIdentity: String?] = [:]
    var underWay: Set<FileIdentity> = []
  }

  /// `learned` is called on a thread of its own whenever digests that were asked for before have become known.
  package init(learned: @escaping @Sendable () -> Void = {}) { self.learned = learned }

  /// The digest of an executable, lower-case hexadecimal; nil if it has none, or none yet.
  ///
  /// `mounts` is the mountinfo of a process that sees the file's mount; `open` opens the file at its beginning.
  func digest(
    of file: FileIdentity, mounts: String, quickSize: UInt64 = quickSize,
    open: () throws(KernelError) -> OwnedDescriptor
  ) -> String? {
    let (isKnown, digest) = state.withLock { state in
      state.known[file].map { (true, $0) } ?? (state.underWay.contains(file), nil)
    }
    if isKnown { return digest }
    guard file.isRegular, file.size <= Self.maximumSize, Self.isLocal(file, mounts) else {
      remember(file, nil)
      return nil
    }
    guard let opened = try? open(), FileIdentity.of(opened) == file else { return nil }
    if file.size <= quickSize {
      let digest = Self.read(opened, file)
      remember(file, digest)
      return digest
    }
    guard state.withLock({ $0.underWay.count < 64 && $0.underWay.insert(file).inserted }) else { return nil }
    let raw = opened.release()
    queue.async { [self] in
      let opened = OwnedDescriptor(adopting: raw)
      let digest = Self.read(opened, file)
      remember(file, digest)
      learned()
    }
    return nil
  }

  private func remember(_ file: FileIdentity, _ digest: String?) {
    state.withLock { state in
      if state.known.count >= Self.capacity { state.known = [:] }
      state.known[file] = .some(digest)
      state.underWay.remove(file)
    }
  }

  /// Reads everything; nil if the file changed meanwhile.
  private static func read(_ file: borrowing OwnedDescriptor, _ expected: FileIdentity) -> String? {
    var hash = SHA256()
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    var total: UInt64 = 0
    while total <= expected.size {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(file.raw, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return nil }
      guard count > 0 else { break }
      total += UInt64(count)
      unsafe chunk.withUnsafeBytes { unsafe hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }
    guard total == expected.size, FileIdentity.of(file) == expected else { return nil }
    return hexadecimal(hash.finalize())
  }

  private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// Whether the kernel itself decides what is read; told by the type of the mount, without touching the file.
  private static func isLocal(_ file: FileIdentity, _ mounts: String) -> Bool {
    guard file.mount != 0, let text = try? readKernelBytes(FilePath(mounts)) else { return false }
    let id = Array("\(file.mount) ".utf8)
    guard let line = text.split(separator: UInt8(ascii: "\n")).first(where: { $0.starts(with: id) }) else {
      return false
    }
    let fields = line.split(separator: UInt8(ascii: " "))
    guard let hyphen = fields.dropFirst(6).firstIndex(where: { $0.elementsEqual("-".utf8) }),
      fields.indices.contains(hyphen + 1)
    else { return false }
    return localTypes.contains(String(decoding: fields[hyphen + 1], as: UTF8.self))
  }

  /// A list of what is known to be local: a type that is missing here costs a digest, one too many could lie.
  private static let localTypes: Set<String> = [
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "nilfs2", "overlay",
    "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
  ]
}
