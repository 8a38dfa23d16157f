// A directory that stands for another host: files as they would be there, gone with the test.
import Glibc
import Kernel
import Preflight
import SystemPackage
import TestSupport

/// Recorded files below a root of their own.
final class Tree {
  private let directory: TemporaryDirectory
  var root: String { directory.path }
  /// What a host with everything has: the tests take away or change one thing.
  static let whole: [String: String] = [
    "/etc/os-release": "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
    "/etc/debian_version": "12.11\n",
    "/proc/version": "Linux version 6.1.0\n",
    "/proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-3\n",
    "/proc/self/limits": limits(files: "524288", memory: "unlimited"),
    "/proc/self/cgroup": "0::/system.slice/sallyport.service\n",
    "/proc/self/mountinfo": """
    22 27 0:21 / /proc rw,relatime - proc proc rw
    23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
    31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
    42 23 0:39 / /sys/fs/bpf rw,relatime - bpf bpf rw

    """,
    "/proc/meminfo": "MemTotal:        8052000 kB\nMemFree: 1 kB\n",
    "/proc/filesystems": "nodev\tcgroup\nnodev\tcgroup2\n",
    "/proc/modules": "",
    "/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
    "/proc/sys/kernel/hostname": "web-1\n",
    "/proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
    "/proc/sys/net/core/bpf_jit_enable": "1\n",
    "/sys/devices/system/cpu/online": "0-3\n",
    "/sys/kernel/btf/vmlinux": "x",
    "/sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    "/sys/kernel/security/lsm": "lockdown,capability,yama,apparmor,bpf",
    "/sbin/modprobe": "x",
    "/lib/modules/6.1.0-18-amd64/modules.builtin": "kernel/net/netfilter/nf_log_syslog.ko\n",
    "/lib/modules/6.1.0-18-amd64/modules.dep":
      "kernel/net/netfilter/xt_bpf.ko: kernel/net/netfilter/x_tables.ko\nkernel/net/netfilter/xt_conntrack.ko.xz:\n",
  ]

  static func limits(files: String, memory: String) -> String {
    """
    Limit                     Soft Limit           Hard Limit           Units
    Max open files            1024                 \(files)               files
    Max locked memory         8388608              \(memory)            bytes

    """
  }

  /// Makes the files; a nil text leaves one out.
  init(_ changes: [String: String?] = [:], on base: [String: String] = Tree.whole) throws {
    directory = try TemporaryDirectory()
    var files = base
    for (path, text) in changes { files[path] = text }
    for (path, text) in files { try write(path, text) }
  }

  func write(_ path: String, _ text: String) throws {
    let file = FilePath(root + path)
    var directory = FilePath(root)
    for component in file.removingLastComponent().components.dropFirst(directory.components.count) {
      directory.append(component)
      try makeDirectory(directory.string, mode: 0o755, mayExist: true)
    }
    try replaceFile(file, with: Array(text.utf8), mode: 0o644)
  }

  static let everything = CapabilitySets(effective: .max, permitted: .max, bounding: .max)

  /// The host that these files tell of, with every capability and a clock in time.
  var host: HostView {
    HostView(
      root: root, capabilities: .seen(Self.everything),
      clock: .seen(ClockState(isSynchronized: true, maximumError: 2000, offset: 0)))
  }

  func find(_ name: String, _ results: ProbeResults = ProbeResults()) throws -> Finding {
    try Preflight.Check.named(name).find(in: host, results)
  }
}

extension Preflight.Check {
  static func named(_ name: String) throws -> Preflight.Check {
    guard let check = all.first(where: { $0.name == name }) else { throw Errno.noSuchFileOrDirectory }
    return check
  }
}
