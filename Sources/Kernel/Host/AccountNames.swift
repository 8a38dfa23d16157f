// The names of the host's own users and groups, from /etc/passwd and /etc/group.
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The names of users and groups as they are now: a file is read again when it was replaced or written to.
///
/// Only the local files are read: a name service may need the network, which policy on this very host may refuse.
package final class AccountNames: Sendable {
  private let users: Mutex<NameFile>
  private let groups: Mutex<NameFile>

  /// Reads files in the format of passwd(5) and group(5); a host without one has no names.
  package init(users: String = "/etc/passwd", groups: String = "/etc/group") {
    self.users = Mutex(NameFile(path: users))
    self.groups = Mutex(NameFile(path: groups))
  }

  /// The name of a user, or nil.
  package func user(_ id: UInt32) -> String? { users.withLock { $0.current()[id] } }
  /// The name of a group, or nil.
  package func group(_ id: UInt32) -> String? { groups.withLock { $0.current()[id] } }

  /// Reads `name:password:id:…` lines; the first name of an id wins, as in getpwuid(3), and broken lines are skipped.
  package static func parse(_ text: String) -> [UInt32: String] {
    var names: [UInt32: String] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard fields.count >= 3, !fields[0].isEmpty, let id = UInt32(fields[2]), names[id] == nil else { continue }
      names[id] = String(fields[0])
    }
    return names
  }
}

/// What was read, and which state of the file it was.
private struct NameFile {
  let path: String
  private var names: [UInt32: String] = [:]
  private var state: [Int]?

  init(path: String) { self.path = path }

  mutating func current() -> [UInt32: String] {
    var status = stat()
    let rc = unsafe stat(path, &status)
    // Tools replace these files by renaming; editors may write in place.
    let now =
      rc == 0
      ? [
        Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_nsec,
      ]
      : []
    if state != now {
      names = (try? readKernelFile(FilePath(path))).map(AccountNames.parse) ?? [:]
      state = now
    }
    return names
  }
}
