// What a test looks at to see whether something leaked, and the thread it runs on.
internal import CLinux
internal import Glibc
internal import Kernel

/// The kernel's number for the calling thread.
package func currentThread() -> Int32 { sp_gettid() }

/// How many descriptors of this process are of a kind, such as `anon_inode:bpf-map`; other tests run meanwhile.
package func openDescriptors(linkingTo target: String) -> Int {
  descriptorTargets().filter { $0 == target }.count
}

/// What every descriptor of this process stands for, by /proc/self/fd.
package func descriptorTargets() -> [String] {
  guard let stream = unsafe opendir("/proc/self/fd") else { return [] }
  defer { unsafe closedir(stream) }
  var targets: [String] = []
  while let entry = unsafe readdir(stream) {
    let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
      unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/fd/\(name)", &buffer, buffer.count)
    if count > 0 {
      targets.append(String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
  }
  return targets
}

/// The next connection of a listener, close-on-exec so that no program started meanwhile inherits it; negative: an errno.
package func acceptClosingOnExec(_ listener: Int32) -> Int32 { sp_accept(listener, Int32(SOCK_CLOEXEC.rawValue)) }
