// What this machine calls itself, and who this process is on it.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Facts that need no file: what the standard library reads from /proc is also known where there is none.
package enum HostIdentity {
  /// The architecture, such as `x86_64` or `aarch64`: `uname -m`.
  package static var machine: String {
    var names = utsname()
    guard unsafe uname(&names) == 0 else { return "" }
    return unsafe withUnsafeBytes(of: names.machine) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// What this program was called with, without its name.
  package static var arguments: [String] {
    var found: [String] = []
    while let argument = unsafe sp_argument(Int32(found.count) + 1) { unsafe found.append(String(cString: argument)) }
    return found
  }

  /// The effective user of this process.
  package static var effectiveUser: UInt32 { geteuid() }
}
