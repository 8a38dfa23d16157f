// Cgroups made and removed by the shortest way.

internal import Glibc
internal import Kernel
internal import SystemPackage

/// Numbered cgroups below one.
struct RawCgroups {
  private let location: String

  init(_ parent: CgroupDirectory) {
    location = (parent.hierarchy.location(of: parent.path) ?? parent.path).string
  }

  /// Makes number so-and-so and returns the kernel's number for it.
  func make(_ number: Int) throws -> CgroupID {
    let path = "\(location)/c\(number)"
    guard unsafe mkdir(path, 0o755) == 0 else { throw KernelError("make", path, Errno(rawValue: errno)) }
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw KernelError("stat", path, Errno(rawValue: errno)) }
    return CgroupID(rawValue: UInt64(status.st_ino))
  }

  func remove(_ number: Int) throws {
    let path = "\(location)/c\(number)"
    guard unsafe rmdir(path) == 0 else { throw KernelError("remove", path, Errno(rawValue: errno)) }
  }
}

/// Processor time of this thread or of all threads of this process, in µs.
enum ProcessorTime {
  case thread, process

  var microseconds: Double {
    var time = timespec()
    unsafe clock_gettime(self == .thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
  }

  /// Of all processes that are or were at or below a cgroup, in ns; the kernel counts in µs.
  ///
  /// cpu.stat is there without the controller, also where cgroup v1 has that.
  static func of(_ cgroup: CgroupDirectory) throws(KernelError) -> UInt64 {
    let text = try readKernelFile("cpu.stat", at: cgroup.descriptor.raw)
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("usage_usec ") }),
      let time = UInt64(line.dropFirst("usage_usec ".count))
    else { throw KernelError("read", "cpu.stat of \(cgroup.path)", .invalidArgument) }
    return time * 1000
  }
}
