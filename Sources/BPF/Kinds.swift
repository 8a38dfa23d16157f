// The kernel's numbers for kinds of map, program and attachment, as far as we use or print them.
internal import CLibbpf

/// A kind of map: `enum bpf_map_type`.
package struct MapType: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  package let rawValue: UInt32

  /// Wraps the kernel's number.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Key to value, any key.
  package static let hash = MapType(rawValue: 1)
  /// Index to value, all entries always there.
  package static let array = MapType(rawValue: 2)
  /// One value per CPU, any key.
  package static let perCPUHash = MapType(rawValue: 5)
  /// One value per CPU, all entries always there.
  package static let perCPUArray = MapType(rawValue: 6)
  /// A hash that forgets what was used longest ago.
  package static let lruHash = MapType(rawValue: 9)
  /// The same, with one value per CPU.
  package static let lruPerCPUHash = MapType(rawValue: 10)
  /// Longest prefix match.
  package static let lpmTrie = MapType(rawValue: 11)
  /// Index to map.
  package static let arrayOfMaps = MapType(rawValue: 12)
  /// Key to map.
  package static let hashOfMaps = MapType(rawValue: 13)
  /// A value per socket.
  package static let socketStorage = MapType(rawValue: 24)
  /// The ring that carries records to user space.
  package static let ringBuffer = MapType(rawValue: 27)

  /// Whether a lookup gives one value per possible CPU.
  package var isPerCPU: Bool { [5, 6, 10, 21].contains(rawValue) }
}

/// A kind of program: `enum bpf_prog_type`.
package struct ProgramType: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  package let rawValue: UInt32

  /// Wraps the kernel's number.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Classic socket filter; also what `iptables -m bpf` runs.
  package static let socketFilter = ProgramType(rawValue: 1)
  /// Traffic control classifier.
  package static let classifier = ProgramType(rawValue: 3)
  /// Packets of a cgroup's sockets.
  package static let cgroupSKB = ProgramType(rawValue: 8)
  /// Creation and release of a cgroup's sockets.
  package static let cgroupSocket = ProgramType(rawValue: 9)
  /// TCP events of a cgroup's sockets.
  package static let sockOps = ProgramType(rawValue: 13)
  /// Kernel tracepoints with their raw arguments.
  package static let rawTracepoint = ProgramType(rawValue: 17)
  /// connect, bind, sendmsg … of a cgroup's tasks.
  package static let cgroupSocketAddress = ProgramType(rawValue: 18)
  /// Tracing with BTF: fentry, tp_btf, iterators.
  package static let tracing = ProgramType(rawValue: 26)
  /// Security hooks.
  package static let lsm = ProgramType(rawValue: 29)
  /// A program that user space runs.
  package static let syscall = ProgramType(rawValue: 31)
}

/// Where a program is attached: `enum bpf_attach_type`.
package struct AttachType: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  package let rawValue: UInt32

  /// Wraps the kernel's number.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Packets that arrive at a cgroup's sockets.
  package static let cgroupIngress = AttachType(rawValue: 0)
  /// Packets that a cgroup's sockets send.
  package static let cgroupEgress = AttachType(rawValue: 1)
  /// socket(2) in a cgroup.
  package static let cgroupSocketCreate = AttachType(rawValue: 2)
  /// TCP events.
  package static let cgroupSockOps = AttachType(rawValue: 3)
  /// bind(2), IPv4.
  package static let cgroupBind4 = AttachType(rawValue: 8)
  /// bind(2), IPv6.
  package static let cgroupBind6 = AttachType(rawValue: 9)
  /// connect(2), IPv4.
  package static let cgroupConnect4 = AttachType(rawValue: 10)
  /// connect(2), IPv6.
  package static let cgroupConnect6 = AttachType(rawValue: 11)
  /// After bind(2), IPv4.
  package static let cgroupPostBind4 = AttachType(rawValue: 12)
  /// After bind(2), IPv6.
  package static let cgroupPostBind6 = AttachType(rawValue: 13)
  /// sendmsg(2) on an unconnected UDP socket, IPv4.
  package static let cgroupSendmsg4 = AttachType(rawValue: 14)
  /// sendmsg(2) on an unconnected UDP socket, IPv6.
  package static let cgroupSendmsg6 = AttachType(rawValue: 15)
  /// recvmsg(2), IPv4.
  package static let cgroupRecvmsg4 = AttachType(rawValue: 19)
  /// recvmsg(2), IPv6.
  package static let cgroupRecvmsg6 = AttachType(rawValue: 20)
  /// The last close of a socket.
  package static let cgroupSocketRelease = AttachType(rawValue: 34)

  /// The name that bpftool and libbpf use, or the number.
  package var name: String {
    guard let text = unsafe libbpf_bpf_attach_type_str(bpf_attach_type(rawValue: rawValue)) else {
      return "attach type \(rawValue)"
    }
    return unsafe String(cString: text)
  }
}

/// How an update treats a key that is there, or is not.
package struct UpdateFlags: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  package let rawValue: UInt64

  /// Wraps the kernel's number.
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Creates or replaces.
  package static let any = UpdateFlags(rawValue: 0)
  /// Creates only: EEXIST if the key is there.
  package static let noExist = UpdateFlags(rawValue: 1)
  /// Replaces only: ENOENT if the key is not there.
  package static let exist = UpdateFlags(rawValue: 2)
}

/// The text in a fixed array of C characters, up to its NUL.
func text<T: BitwiseCopyable>(of characters: T) -> String {
  unsafe withUnsafeBytes(of: characters) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
