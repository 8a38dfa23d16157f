// What this machine calls itself, and who this process is on it.
internal import Glibc
internal import SystemPackage

/// Two facts that need no file.
public enum HostIdentity {
  /// The architecture, such as `x86_64` or `aarch64`: `uname -m`.
  public static var machine: String {
    var names = utsname()
    guard unsafe uname(&names) == 0 else { return "" }
    return unsafe withUnsafeBytes(of: names.machine) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// The effective user of this process.
  public static var effectiveUser: UInt32 { geteuid() }
}
