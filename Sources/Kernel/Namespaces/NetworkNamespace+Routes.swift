// What the kernel does with a packet to an address: rtnetlink(7)'s answer, which is that of `ip route get`.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Where packets to an address go from a network namespace.
package struct NetworkRoute: Sendable, Equatable {
  /// What becomes of them.
  package enum Kind: Sendable, Equatable {
    /// They stay: the address is the namespace's own.
    case local
    /// They leave by an interface.
    case onward
    /// They go to several receivers.
    case group
    /// There is no way.
    case none
  }

  /// What becomes of them.
  package var kind: Kind
  /// The source address that the kernel chooses, 4 or 16 bytes in network order; empty if it chooses none.
  package var source: [UInt8]
  /// The interface that they leave by, or 0.
  package var interface: UInt32

  /// No way.
  package static let none = NetworkRoute(kind: .none, source: [], interface: 0)
}

extension NetworkNamespace {
  /// Asks the kernel about addresses of 4 or 16 bytes in network order; one answer each, in order.
  package func routes(to addresses: [[UInt8]]) throws(KernelError) -> [NetworkRoute] {
    let entered = descriptor.raw
    return try runOnFreshThread("routes") { () throws(KernelError) in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      let netlink = try OwnedDescriptor.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), NETLINK_ROUTE)
      var found: [NetworkRoute] = []
      for address in addresses { found.append(try Self.route(to: address, netlink)) }
      return found
    }
  }

  private static func route(
    to address: [UInt8], _ netlink: borrowing OwnedDescriptor
  ) throws(KernelError) -> NetworkRoute {
    let family = UInt8(address.count == 4 ? AF_INET : AF_INET6)
    // struct rtmsg: family, lengths of prefixes, tos, table, protocol, scope, type, flags; then RTA_DST.
    let body = [family, UInt8(address.count * 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + NetlinkAttribute.make(1, address)
    let head =
      NetlinkAttribute.bytes(of: UInt32(16 + body.count)) + NetlinkAttribute.bytes(of: UInt16(RTM_GETROUTE))
      + NetlinkAttribute.bytes(of: UInt16(NLM_F_REQUEST)) + [UInt8](repeating: 0, count: 8)
    let message = head + body
    let sent = unsafe message.withUnsafeBytes { unsafe send(netlink.raw, $0.baseAddress, $0.count, 0) }
    try check(sent < 0 ? -errno : 0, "ask for", "route")
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = try NetlinkMessages.receive(from: netlink, into: &buffer, "rtnetlink")
    var route = NetworkRoute.none
    unsafe NetlinkMessages.forEach(in: buffer.span.bytes, count) { head, body in
      guard Int(head.nlmsg_type) == Int(RTM_NEWROUTE), body.byteCount >= 12 else { return }
      // include/uapi/linux/rtnetlink.h: RTN_UNICAST 1, RTN_LOCAL 2, RTN_BROADCAST 3, RTN_ANYCAST 4, RTN_MULTICAST 5.
      switch unsafe body.unsafeLoad(fromByteOffset: 7, as: UInt8.self) {
      case 1: route.kind = .onward
      case 2, 4: route.kind = .local
      case 3, 5: route.kind = .group
      default: return
      }
      NetlinkAttribute.forEach(in: body.extracting(12...)) { kind, value in
        if kind == 4, value.byteCount == 4 { route.interface = unsafe value.unsafeLoadUnaligned(as: UInt32.self) }
        // RTA_PREFSRC.
        guard kind == 7 else { return }
        route.source = value.byteOffsets.map { unsafe value.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
      }
    }
    return route
  }
}
