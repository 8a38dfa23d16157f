// All processes that /proc shows.
internal import Glibc
internal import SystemPackage

extension ProcessID {
  /// The processes there are now, in no order; those that begin or end meanwhile may be missing or gone.
  ///
  /// - Throws: when /proc cannot be listed; hidepid= leaves out what may not be seen (proc(5)).
  package static func all() throws(KernelError) -> [ProcessID] {
    guard let stream = unsafe opendir("/proc") else { throw KernelError("list", "/proc", Errno(rawValue: errno)) }
    defer { unsafe closedir(stream) }
    var found: [ProcessID] = []
    while let entry = unsafe readdir(stream) {
      let number = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { name in
        unsafe Int32(String(decoding: name.prefix { $0 != 0 }, as: UTF8.self))
      }
      if let number, number > 0 { found.append(ProcessID(rawValue: number)) }
    }
    return found
  }
}
