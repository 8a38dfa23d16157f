// Names of users, from the local password file.

internal import Kernel
internal import SystemPackage

/// The names of local users.
///
/// Read from the file itself and not through the name service: a lookup there may go over the network that is policed.
public struct UserNames: Sendable {
  private let path: FilePath
  private var names: [UInt32: String] = [:]
  private var nextRead: UInt64 = 0

  /// The users of this host; `path` is for tests.
  public init(path: String = "/etc/passwd") { self.path = FilePath(path) }

  /// The name of a user, nil if there is none.
  ///
  /// `now` is any monotonic time in nanoseconds. The file is read at most once a minute, and only for users that are not known.
  public mutating func name(of uid: UInt32, now: UInt64) -> String? {
    if let known = names[uid] { return known }
    guard now >= nextRead else { return nil }
    nextRead = now + 60_000_000_000
    if let text = try? readKernelFile(path) { names = Self.parse(text) }
    return names[uid]
  }

  /// Reads `name:password:uid:…` lines; the first line of a number wins, as in the C library.
  static func parse(_ text: String) -> [UInt32: String] {
    var names: [UInt32: String] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard fields.count >= 3, !fields[0].isEmpty, let uid = UInt32(fields[2]), names[uid] == nil else { continue }
      names[uid] = String(fields[0])
    }
    return names
  }
}
