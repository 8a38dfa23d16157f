// The names of the host's own users and groups, from /etc/passwd and /etc/group.
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// Names by user id, or by group id.
///
/// Only the local file is read: a name service may need the network, which policy on this very host may refuse.
public struct UserNames: Sendable, Equatable {
  private var names: [UInt32: String] = [:]

  /// No names at all.
  public init() {}

  /// Reads the text of a passwd(5) or group(5) file; the first name of an id wins, as in getpwuid(3).
  public init(parsing text: String) {
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard fields.count >= 3, !fields[0].isEmpty, let id = UInt32(fields[2]), names[id] == nil else { continue }
      names[id] = String(fields[0])
    }
  }

  /// Reads `/etc/passwd`; a host without one has no names.
  public static func read() -> UserNames { read("/etc/passwd") }

  static func read(_ path: String) -> UserNames {
    guard let text = try? readKernelFile(FilePath(path)) else { return UserNames() }
    return UserNames(parsing: text)
  }

  /// The name of an id, or nil.
  public subscript(id: UInt32) -> String? { names[id] }
}

/// The names of users and groups as they are now: a file is read again when it was replaced or written to.
public final class AccountNames: Sendable {
  private let users: Mutex<CachedNames>
  private let groups: Mutex<CachedNames>

  /// Reads files in the format of passwd(5) and group(5).
  public init(users: String = "/etc/passwd", groups: String = "/etc/group") {
    self.users = Mutex(CachedNames(path: users))
    self.groups = Mutex(CachedNames(path: groups))
  }

  /// The name of a user, or nil.
  public func user(_ id: UInt32) -> String? { users.withLock { $0.current()[id] } }
  /// The name of a group, or nil.
  public func group(_ id: UInt32) -> String? { groups.withLock { $0.current()[id] } }
}

/// What was read, and which state of the file it was.
private struct CachedNames {
  let path: String
  private var names = UserNames()
  private var state: [Int]?

  init(path: String) { self.path = path }

  mutating func current() -> UserNames {
    var status = stat()
    let rc = unsafe stat(path, &status)
    // Tools replace these files by renaming; editors may write in place.
    let now =
      rc == 0
      ? [
        Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_nsec,
      ]
      : []
    if state != now { (names, state) = (UserNames.read(path), now) }
    return names
  }
}
