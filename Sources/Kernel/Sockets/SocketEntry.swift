// A socket as the kernel lists it, and the netlink messages that speak of it.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// An address in 128 bits, IPv4 as ::ffff:a.b.c.d, and a port.
package struct SocketAddress: Hashable, Sendable {
  /// The first 8 bytes of the address, read as a big-endian number.
  package let high: UInt64
  /// The last 8 bytes of the address, read as a big-endian number.
  package let low: UInt64
  /// The port as a number, not in network order.
  package let port: UInt16

  /// States an address.
  package init(high: UInt64, low: UInt64, port: UInt16) {
    self.high = high
    self.low = low
    self.port = port
  }

  /// Whether it is an IPv4 address in IPv6's clothes.
  package var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }
}

/// One TCP or UDP socket of a network namespace.
package struct SocketEntry: Hashable, Sendable {
  /// AF_INET or AF_INET6: of the socket, which may speak IPv4 through AF_INET6.
  package let family: UInt8
  /// IPPROTO_TCP (6) or IPPROTO_UDP (17).
  package let `protocol`: UInt8
  /// The kernel's TCP state number: 1 established, 2 SYN sent, 6 TIME_WAIT, 7 closed, 10 listen, 12 new SYN received.
  package let state: UInt8
  /// Its own end.
  package let local: SocketAddress
  /// The other end; zero while not connected.
  package let remote: SocketAddress
  /// The interface it is bound to, or 0.
  package let interface: UInt32
  /// The inode number that /proc/PID/fd shows; 0 for sockets that no process holds.
  package let inode: UInt32
  /// The user that made it.
  package let user: UInt32
  /// The kernel's never reused number: `bpf_get_socket_cookie`.
  package let cookie: UInt64
  /// The cgroup that made it; nil for requests and TIME_WAIT, which belong to none.
  package let cgroup: CgroupID?
  /// The socket's value in the storage map that was asked for; empty if it has none, or none was asked for.
  package let storage: [UInt8]
  /// Whether a socket of AF_INET6 that waits for packets takes none of IPv4.
  package private(set) var isIPv6Only = false
}

extension SocketEntry {
  /// Reads a message of a dump: `inet_diag_msg`, then attributes; nil if it is too short.
  init?(message: RawSpan, protocol: UInt8) {
    let size = MemoryLayout<inet_diag_msg>.size
    guard message.byteCount >= size else { return nil }
    let head = unsafe message.unsafeLoadUnaligned(as: inet_diag_msg.self)
    family = head.idiag_family
    self.protocol = `protocol`
    state = head.idiag_state
    local = SocketAddress(head.id.idiag_src, head.id.idiag_sport, family: family)
    remote = SocketAddress(head.id.idiag_dst, head.id.idiag_dport, family: family)
    interface = head.id.idiag_if
    inode = head.idiag_inode
    user = head.idiag_uid
    cookie = UInt64(head.id.idiag_cookie.0) | UInt64(head.id.idiag_cookie.1) << 32
    var cgroup: UInt64 = 0
    var storage: [UInt8] = []
    var isOnly = false
    NetlinkAttribute.forEach(in: message.extracting(size...)) { kind, value in
      if Int(kind) == INET_DIAG_CGROUP_ID, value.byteCount == 8 {
        cgroup = unsafe value.unsafeLoadUnaligned(as: UInt64.self)
      } else if Int(kind) == INET_DIAG_SK_BPF_STORAGES {
        storage = Self.storage(in: value)
      } else if Int(kind) == INET_DIAG_SKV6ONLY, value.byteCount == 1 {
        isOnly = unsafe value.unsafeLoad(as: UInt8.self) != 0
      }
    }
    self.cgroup = cgroup == 0 ? nil : CgroupID(rawValue: cgroup)
    self.storage = storage
    isIPv6Only = isOnly
  }

  /// The value in a list of storages, of which one was asked for.
  private static func storage(in storages: RawSpan) -> [UInt8] {
    var found: [UInt8] = []
    NetlinkAttribute.forEach(in: storages) { kind, one in
      guard Int(kind) == Int(SK_DIAG_BPF_STORAGE) else { return }
      NetlinkAttribute.forEach(in: one) { kind, value in
        guard Int(kind) == Int(SK_DIAG_BPF_STORAGE_MAP_VALUE) else { return }
        for index in value.byteOffsets { found.append(unsafe value.unsafeLoad(fromByteOffset: index, as: UInt8.self)) }
      }
    }
    return found
  }

  /// One conversation of a datagram socket, as if it were connected, under another cookie.
  package func connected(local: SocketAddress, remote: SocketAddress, cookie: UInt64) -> SocketEntry {
    SocketEntry(
      family: family, protocol: `protocol`, state: 1, local: local, remote: remote, interface: interface, inode: inode,
      user: user, cookie: cookie, cgroup: cgroup, storage: storage)
  }

  /// The same socket in a request, with the cookie that keeps a successor on the same ports safe.
  var request: inet_diag_req_v2 {
    var request = inet_diag_req_v2()
    request.sdiag_family = family
    request.sdiag_protocol = `protocol`
    request.idiag_states = .max
    request.id.idiag_src = local.words(family)
    request.id.idiag_dst = remote.words(family)
    request.id.idiag_sport = local.port.bigEndian
    request.id.idiag_dport = remote.port.bigEndian
    request.id.idiag_if = interface
    request.id.idiag_cookie = (UInt32(truncatingIfNeeded: cookie), UInt32(truncatingIfNeeded: cookie >> 32))
    return request
  }
}

extension SocketAddress {
  /// Four 32-bit words and a port, all in network order.
  typealias Words = (UInt32, UInt32, UInt32, UInt32)

  fileprivate init(_ words: Words, _ port: UInt16, family: UInt8) {
    let host = (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)
    let isIPv4 = Int32(family) == AF_INET
    high = isIPv4 ? 0 : UInt64(host.0) << 32 | UInt64(host.1)
    low = isIPv4 ? 0xffff << 32 | UInt64(host.0) : UInt64(host.2) << 32 | UInt64(host.3)
    self.port = port.bigEndian
  }

  func words(_ family: UInt8) -> Words {
    let last = UInt32(truncatingIfNeeded: low).bigEndian
    if Int32(family) == AF_INET { return (last, 0, 0, 0) }
    return (
      UInt32(truncatingIfNeeded: high >> 32).bigEndian, UInt32(truncatingIfNeeded: high).bigEndian,
      UInt32(truncatingIfNeeded: low >> 32).bigEndian, last
    )
  }
}
