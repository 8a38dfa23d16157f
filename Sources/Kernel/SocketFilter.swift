// Which sockets the kernel is to list: programs for sock_diag's own little machine.
internal import CLinux
internal import Glibc

/// A condition on sockets, checked by the kernel (net/ipv4/inet_diag.c, `inet_diag_bc_run`).
public struct SocketFilter: Sendable, Equatable {
  let bytecode: [UInt8]

  /// How many cgroups fit one filter: the kernel checks each jump by walking the program.
  public static let limit = 1024

  /// Sockets that one of these cgroups made: exactly these, not what is below them; the first `limit` of them.
  ///
  /// Kernel 5.9. Requests and TIME_WAIT belong to no cgroup and are not listed.
  public static func cgroups(_ cgroups: some Collection<CgroupID>) -> SocketFilter {
    let asked = Array(cgroups.prefix(limit))
    // One block a cgroup: condition (4 + 8 bytes), and a jump to the end, which means yes. Jumping 4 bytes further means no.
    let block = 16
    var code: [UInt8] = []
    for (index, cgroup) in asked.enumerated() {
      let rest = (asked.count - index) * block
      let isLast = index == asked.count - 1
      code += operation(INET_DIAG_BC_CGROUP_COND, yes: 12, no: UInt16(isLast ? rest + 4 : block))
      code += NetlinkAttribute.bytes(of: cgroup.rawValue)
      code += operation(INET_DIAG_BC_JMP, yes: 4, no: UInt16(rest - 12))
    }
    // No cgroup: a jump past the end.
    return SocketFilter(bytecode: asked.isEmpty ? operation(INET_DIAG_BC_JMP, yes: 4, no: 8) : code)
  }

  /// `struct inet_diag_bc_op`: where to go on, in bytes from here.
  private static func operation(_ code: Int, yes: UInt8, no: UInt16) -> [UInt8] {
    [UInt8(clamping: code), yes] + NetlinkAttribute.bytes(of: no)
  }
}
