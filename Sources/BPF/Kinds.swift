// The kernel's numbers for kinds of map, program and attachment, as far as we use or print them.
internal import CLibbpf

/// A kind of map: `enum bpf_map_type`.
public struct MapType: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  public let rawValue: UInt32

  /// Wraps the kernel's number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Key to value, any key.
  public static let hash = MapType(rawValue: 1)
  /// Index to value, all entries always there.
  public static let array = MapType(rawValue: 2)
  /// One value per CPU, any key.
  public static let perCPUHash = MapType(rawValue: 5)
  /// One value per CPU, all entries always there.
  public static let perCPUArray = MapType(rawValue: 6)
  /// A hash that forgets what was used longest ago.
  public static let lruHash = MapType(rawValue: 9)
  /// The same, with one value per CPU.
  public static let lruPerCPUHash = MapType(rawValue: 10)
  /// Longest prefix match.
  public static let lpmTrie = MapType(rawValue: 11)
  /// Index to map.
  public static let arrayOfMaps = MapType(rawValue: 12)
  /// Key to map.
  public static let hashOfMaps = MapType(rawValue: 13)
  /// A value per socket.
  public static let socketStorage = MapType(rawValue: 24)
  /// The ring that carries records to user space.
  public static let ringBuffer = MapType(rawValue: 27)

  /// Whether a lookup gives one value per possible CPU.
  public var isPerCPU: Bool { [5, 6, 10, 21].contains(rawValue) }
}

/// A kind of program: `enum bpf_prog_type`.
public struct ProgramType: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  public let rawValue: UInt32

  /// Wraps the kernel's number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Classic socket filter; also what `iptables -m bpf` runs.
  public static let socketFilter = ProgramType(rawValue: 1)
  /// Traffic control classifier.
  public static let classifier = ProgramType(rawValue: 3)
  /// Packets of a cgroup's sockets.
  public static let cgroupSKB = ProgramType(rawValue: 8)
  /// Creation and release of a cgroup's sockets.
  public static let cgroupSocket = ProgramType(rawValue: 9)
  /// TCP events of a cgroup's sockets.
  public static let sockOps = ProgramType(rawValue: 13)
  /// Kernel tracepoints with their raw arguments.
  public static let rawTracepoint = ProgramType(rawValue: 17)
  /// connect, bind, sendmsg … of a cgroup's tasks.
  public static let cgroupSocketAddress = ProgramType(rawValue: 18)
  /// Tracing with BTF: fentry, tp_btf, iterators.
  public static let tracing = ProgramType(rawValue: 26)
  /// Security hooks.
  public static let lsm = ProgramType(rawValue: 29)
  /// A program that user space runs.
  public static let syscall = ProgramType(rawValue: 31)
}

/// Where a program is attached: `enum bpf_attach_type`.
public struct AttachType: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  public let rawValue: UInt32

  /// Wraps the kernel's number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Packets that arrive at a cgroup's sockets.
  public static let cgroupIngress = AttachType(rawValue: 0)
  /// Packets that a cgroup's sockets send.
  public static let cgroupEgress = AttachType(rawValue: 1)
  /// socket(2) in a cgroup.
  public static let cgroupSocketCreate = AttachType(rawValue: 2)
  /// TCP events.
  public static let cgroupSockOps = AttachType(rawValue: 3)
  /// bind(2), IPv4.
  public static let cgroupBind4 = AttachType(rawValue: 8)
  /// bind(2), IPv6.
  public static let cgroupBind6 = AttachType(rawValue: 9)
  /// connect(2), IPv4.
  public static let cgroupConnect4 = AttachType(rawValue: 10)
  /// connect(2), IPv6.
  public static let cgroupConnect6 = AttachType(rawValue: 11)
  /// After bind(2), IPv4.
  public static let cgroupPostBind4 = AttachType(rawValue: 12)
  /// After bind(2), IPv6.
  public static let cgroupPostBind6 = AttachType(rawValue: 13)
  /// sendmsg(2) on an unconnected UDP socket, IPv4.
  public static let cgroupSendmsg4 = AttachType(rawValue: 14)
  /// sendmsg(2) on an unconnected UDP socket, IPv6.
  public static let cgroupSendmsg6 = AttachType(rawValue: 15)
  /// recvmsg(2), IPv4.
  public static let cgroupRecvmsg4 = AttachType(rawValue: 19)
  /// recvmsg(2), IPv6.
  public static let cgroupRecvmsg6 = AttachType(rawValue: 20)
  /// The last close of a socket.
  public static let cgroupSocketRelease = AttachType(rawValue: 34)

  /// The name that bpftool and libbpf use, or the number.
  public var name: String {
    guard let text = unsafe libbpf_bpf_attach_type_str(bpf_attach_type(rawValue: rawValue)) else {
      return "attach type \(rawValue)"
    }
    return unsafe String(cString: text)
  }
}

/// How an update treats a key that is there, or is not.
public struct UpdateFlags: RawRepresentable, Hashable, Sendable {
  /// The kernel's number.
  public let rawValue: UInt64

  /// Wraps the kernel's number.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Creates or replaces.
  public static let any = UpdateFlags(rawValue: 0)
  /// Creates only: EEXIST if the key is there.
  public static let noExist = UpdateFlags(rawValue: 1)
  /// Replaces only: ENOENT if the key is not there.
  public static let exist = UpdateFlags(rawValue: 2)
}

/// The text in a fixed array of C characters, up to its NUL.
func text<T: BitwiseCopyable>(of characters: T) -> String {
  unsafe withUnsafeBytes(of: characters) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
