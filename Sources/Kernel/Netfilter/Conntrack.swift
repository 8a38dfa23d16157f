// Connection tracking of a network namespace: what is tracked, and ending entries (ctnetlink, no program is run).
internal import CLinux
internal import Glibc
internal import SystemPackage

/// One end-to-end direction of a tracked connection.
package struct ConntrackTuple: Hashable, Sendable {
  /// Who sends; the port of TCP, UDP and the like, the echo id of ICMP, else 0.
  package let source: SocketAddress
  /// Who receives; the port, or 0.
  package let destination: SocketAddress
  /// The protocol's number, such as 6 for TCP.
  package let `protocol`: UInt8
  /// ICMP's type and code; 0 for others.
  package let icmp: ICMPKind

  /// The two numbers that say what an ICMP message is.
  package struct ICMPKind: Hashable, Sendable {
    /// The type, such as 8 for an echo request.
    package var type: UInt8 = 0
    /// The code.
    package var code: UInt8 = 0
  }
}

/// A connection that the kernel tracks.
package struct ConntrackEntry: Hashable, Sendable {
  /// AF_INET or AF_INET6.
  package let family: UInt8
  /// As the first packet came.
  package let original: ConntrackTuple
  /// As replies come: with NAT this is not the original turned round.
  package let reply: ConntrackTuple
  /// The kernel's number of the entry: a hash of its place in memory and its tuples.
  package let id: UInt32
  /// The connection's mark, others' and ours.
  package let mark: UInt32
  /// The IPS_ bits, such as 0x2 for a reply that was seen.
  package let status: UInt32
  /// The zone; 0 unless somebody made zones.
  package let zone: UInt16
  /// The original tuple as the kernel wrote it, which names the entry to the kernel.
  fileprivate let name: [UInt8]

  /// Whether a packet has come back.
  package var isReplied: Bool { status & 0x2 != 0 }
}

/// The tracked connections of one namespace; one user at a time.
package struct Conntrack: ~Copyable, Sendable {
  private let netlink: NetfilterSocket

  private init(netlink: consuming NetfilterSocket) { self.netlink = netlink }

  /// Opens it for a namespace; needs CAP_NET_ADMIN there.
  package static func open(in namespace: NetworkNamespace) throws(KernelError) -> Conntrack {
    Conntrack(netlink: try NetfilterSocket.open(in: namespace))
  }

  /// All entries of both families.
  ///
  /// Not one instant: entries that come or go meanwhile may be in it or not. Without connection tracking in the kernel it
  /// is empty; asking loads the module nf_conntrack_netlink.
  package borrowing func list() throws(KernelError) -> [ConntrackEntry] {
    var entries: [ConntrackEntry] = []
    let kind = UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(IPCTNL_MSG_CT_GET.rawValue)
    do throws(KernelError) {
      try netlink.dump(kind: kind, family: UInt8(AF_UNSPEC), "tracked connections") { _, family, attributes in
        if let entry = ConntrackEntry(family: family, attributes: attributes) { entries.append(entry) }
      }
    } catch {
      // EINVAL: there is no such subsystem. EINTR: the table was resized, which only may have shown some twice.
      switch error.errno {
      case .invalidArgument: return []
      case .interrupted: break
      default: throw error
      }
    }
    return entries
  }

  /// Ends one entry; false if it was gone before.
  ///
  /// The next packet of the connection is a new one to the rules. An entry of the same tuple that took its place has
  /// another number, unless it lies in the same memory; if it is ended too, it is judged once more.
  @discardableResult
  package borrowing func delete(_ entry: ConntrackEntry) throws(KernelError) -> Bool {
    let nested = 0x8000
    var attributes = NetlinkAttribute.make(Int(CTA_TUPLE_ORIG.rawValue) | nested, entry.name)
    attributes += NetlinkAttribute.make(Int(CTA_ID.rawValue), NetlinkAttribute.bytes(of: entry.id.bigEndian))
    if entry.zone != 0 {
      attributes += NetlinkAttribute.make(Int(CTA_ZONE.rawValue), NetlinkAttribute.bytes(of: entry.zone.bigEndian))
    }
    let kind = UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(IPCTNL_MSG_CT_DELETE.rawValue)
    let rc = try netlink.request(kind: kind, family: entry.family, attributes: attributes)
    if rc == -ENOENT { return false }
    try check(rc, "end", "tracked connection \(entry.id)")
    return true
  }
}

// MARK: Messages

extension ConntrackEntry {
  fileprivate init?(family: UInt8, attributes: RawSpan) {
    var tuples: (ConntrackTuple?, ConntrackTuple?) = (nil, nil)
    var numbers: (id: UInt32, mark: UInt32, status: UInt32, zone: UInt16) = (0, 0, 0, 0)
    var name: [UInt8] = []
    NetlinkAttribute.forEach(in: attributes) { kind, value in
      switch UInt32(kind) {
      case CTA_TUPLE_ORIG.rawValue:
        tuples.0 = ConntrackTuple(value)
        for offset in value.byteOffsets {
          name.append(unsafe value.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
        }
      case CTA_TUPLE_REPLY.rawValue: tuples.1 = ConntrackTuple(value)
      case CTA_ID.rawValue: numbers.id = NetlinkAttribute.networkNumber(value)
      case CTA_MARK.rawValue: numbers.mark = NetlinkAttribute.networkNumber(value)
      case CTA_STATUS.rawValue: numbers.status = NetlinkAttribute.networkNumber(value)
      case CTA_ZONE.rawValue: numbers.zone = NetlinkAttribute.networkNumber(value)
      default: break
      }
    }
    guard let original = tuples.0, let reply = tuples.1 else { return nil }
    self.family = family
    self.original = original
    self.reply = reply
    id = numbers.id
    mark = numbers.mark
    status = numbers.status
    zone = numbers.zone
    self.name = name
  }
}

extension ConntrackTuple {
  fileprivate init(_ bytes: RawSpan) {
    var addresses: ((high: UInt64, low: UInt64), (high: UInt64, low: UInt64)) = ((0, 0), (0, 0))
    var ports: (UInt16, UInt16) = (0, 0)
    var number: UInt8 = 0
    var icmp = ICMPKind()
    NetlinkAttribute.forEach(in: bytes) { part, content in
      NetlinkAttribute.forEach(in: content) { kind, value in
        if UInt32(part) == CTA_TUPLE_IP.rawValue {
          switch UInt32(kind) {
          case CTA_IP_V4_SRC.rawValue: addresses.0 = Self.ipv4(value)
          case CTA_IP_V4_DST.rawValue: addresses.1 = Self.ipv4(value)
          case CTA_IP_V6_SRC.rawValue: addresses.0 = Self.ipv6(value)
          case CTA_IP_V6_DST.rawValue: addresses.1 = Self.ipv6(value)
          default: break
          }
        } else if UInt32(part) == CTA_TUPLE_PROTO.rawValue {
          switch UInt32(kind) {
          case CTA_PROTO_NUM.rawValue: number = NetlinkAttribute.networkNumber(value)
          case CTA_PROTO_SRC_PORT.rawValue, CTA_PROTO_ICMP_ID.rawValue, CTA_PROTO_ICMPV6_ID.rawValue:
            ports.0 = NetlinkAttribute.networkNumber(value)
          case CTA_PROTO_DST_PORT.rawValue: ports.1 = NetlinkAttribute.networkNumber(value)
          case CTA_PROTO_ICMP_TYPE.rawValue, CTA_PROTO_ICMPV6_TYPE.rawValue:
            icmp.type = NetlinkAttribute.networkNumber(value)
          case CTA_PROTO_ICMP_CODE.rawValue, CTA_PROTO_ICMPV6_CODE.rawValue:
            icmp.code = NetlinkAttribute.networkNumber(value)
          default: break
          }
        }
      }
    }
    source = SocketAddress(high: addresses.0.high, low: addresses.0.low, port: ports.0)
    destination = SocketAddress(high: addresses.1.high, low: addresses.1.low, port: ports.1)
    self.protocol = number
    self.icmp = icmp
  }

  private static func ipv4(_ value: RawSpan) -> (high: UInt64, low: UInt64) {
    let address: UInt32 = NetlinkAttribute.networkNumber(value)
    return (0, 0xffff << 32 | UInt64(address))
  }

  private static func ipv6(_ value: RawSpan) -> (high: UInt64, low: UInt64) {
    guard value.byteCount == 16 else { return (0, 0) }
    return (
      NetlinkAttribute.networkNumber(value.extracting(0..<8)), NetlinkAttribute.networkNumber(value.extracting(8..<16))
    )
  }
}
