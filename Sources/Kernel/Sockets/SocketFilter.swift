// Which sockets the kernel is to list: their states, and programs for sock_diag's own little machine.
internal import CLinux
internal import Glibc

/// States of sockets, bit n for the kernel's TCP state n.
package struct SocketStates: OptionSet, Sendable {
  /// The bits, as `idiag_states` has them.
  package let rawValue: UInt32

  /// Takes the bits.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Every state.
  package static let all = SocketStates(rawValue: .max)
  /// What waits for somebody: listening TCP sockets (10), and UDP sockets that are not connected (7).
  package static let waiting = SocketStates(rawValue: 1 << 10 | 1 << 7)
}

/// A condition on sockets, checked by the kernel (net/ipv4/inet_diag.c, `inet_diag_bc_run`).
package struct SocketFilter: Sendable, Equatable {
  let bytecode: [UInt8]

  /// How many alternatives fit one filter: the kernel checks each jump by walking the program.
  package static let limit = 1024

  /// Sockets that one of these cgroups made: exactly these, not what is below them; the first `limit` of them.
  ///
  /// Kernel 5.9. Requests and TIME_WAIT belong to no cgroup and are not listed.
  package static func cgroups(_ cgroups: some Collection<CgroupID>) -> SocketFilter {
    any(cgroups.prefix(limit).map { (INET_DIAG_BC_CGROUP_COND, NetlinkAttribute.bytes(of: $0.rawValue)) })
  }

  /// Sockets that are connected to one of these addresses; port 0 means any port; the first `limit` of them.
  ///
  /// An IPv4 address is also found where an IPv6 socket speaks IPv4.
  package static func destinations(_ destinations: some Collection<SocketAddress>) -> SocketFilter {
    any(
      destinations.prefix(limit).map { destination in
        // struct inet_diag_hostcond: family, prefix length, two bytes of padding, port (-1 = any), address.
        let family = destination.isIPv4 ? AF_INET : AF_INET6
        let words = destination.words(UInt8(family))
        let address = destination.isIPv4 ? [words.0] : [words.0, words.1, words.2, words.3]
        let port = destination.port == 0 ? -1 : Int32(destination.port)
        let head: [UInt8] = [UInt8(family), destination.isIPv4 ? 32 : 128, 0, 0]
        return (
          INET_DIAG_BC_D_COND,
          head + NetlinkAttribute.bytes(of: port) + address.flatMap { NetlinkAttribute.bytes(of: $0) }
        )
      })
  }

  /// Sockets for which one of these holds.
  ///
  /// One block each: the operation with its operand, and a jump to the end, which means yes; if it does not hold, on to the
  /// next block. Jumping 4 bytes past the end means no.
  private static func any(_ conditions: [(code: Int, operand: [UInt8])]) -> SocketFilter {
    // No condition: a jump past the end.
    guard !conditions.isEmpty else { return SocketFilter(bytecode: operation(INET_DIAG_BC_JMP, yes: 4, no: 8)) }
    var rest = conditions.reduce(0) { $0 + $1.operand.count + 8 }
    var code: [UInt8] = []
    for (index, condition) in conditions.enumerated() {
      let own = condition.operand.count + 4
      let isLast = index == conditions.count - 1
      code += operation(condition.code, yes: UInt8(own), no: UInt16(isLast ? rest + 4 : own + 4))
      code += condition.operand
      code += operation(INET_DIAG_BC_JMP, yes: 4, no: UInt16(rest - own))
      rest -= own + 4
    }
    return SocketFilter(bytecode: code)
  }

  /// `struct inet_diag_bc_op`: where to go on, in bytes from here.
  private static func operation(_ code: Int, yes: UInt8, no: UInt16) -> [UInt8] {
    [UInt8(clamping: code), yes] + NetlinkAttribute.bytes(of: no)
  }
}
