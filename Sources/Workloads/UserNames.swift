// The names of the host's own users, from /etc/passwd.
internal import Kernel
internal import SystemPackage

/// Names by user id.
///
/// Only the local file is read: a name service may need the network, which policy on this very host may refuse.
public struct UserNames: Sendable, Equatable {
  private var names: [UInt32: String] = [:]

  /// No names at all.
  public init() {}

  /// Reads the text of a passwd(5) file; the first name of an id wins, as in getpwuid(3).
  public init(parsing text: String) {
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard fields.count >= 3, !fields[0].isEmpty, let uid = UInt32(fields[2]), names[uid] == nil else { continue }
      names[uid] = String(fields[0])
    }
  }

  /// Reads `/etc/passwd`; a host without one has no names.
  public static func read() -> UserNames {
    guard let text = try? readKernelFile("/etc/passwd") else { return UserNames() }
    return UserNames(parsing: text)
  }

  /// The name of an id, or nil.
  public subscript(uid: UInt32) -> String? { names[uid] }
}
