// The workloads in force and what follows from all of them together: levels in use, and whose an address is.

internal import Kernel
internal import Policy

/// Who is in force.
///
/// Changing it is pure; the kernel is told by whoever owns it.
struct Roster: Sendable {
  private(set) var members = KeyedRows<CgroupID, Member>()
  private var claims: [IPAddress: [CgroupID: IdentityNumber]] = [:]
  /// Those of the members whose cgroups were removed.
  private(set) var ended: Set<CgroupID> = []
  private var atLevel = [Int](repeating: 0, count: WorkloadInstance.deepestLevel + 1)

  /// A workload with its number.
  struct Member: Sendable, Equatable {
    var instance: WorkloadInstance
    var number: IdentityNumber
    /// When its cgroup was removed, in nanoseconds of CLOCK_MONOTONIC; 0 while it is there.
    ///
    /// Its row stays, because sockets that it made may live on; its addresses are free.
    var ended: UInt64 = 0

    var row: WorkloadRow {
      WorkloadRow(
        identity: number, observe: instance.observe, rejectsUnlabelledChildren: instance.rejectsUnlabelledChildren)
    }

    /// The addresses that are its own now.
    var claimed: [IPAddress] { ended == 0 ? instance.addresses : [] }
  }

  /// Bit n: a workload is at level n.
  var levels: UInt32 {
    atLevel.enumerated().reduce(0) { $1.element > 0 ? $0 | 1 << UInt32($1.offset) : $0 }
  }

  /// The rows of all addresses that somebody claims.
  var addresses: [IPPrefix: NetworkRow] {
    var rows: [IPPrefix: NetworkRow] = [:]
    for address in claims.keys { rows[IPPrefix(address)] = row(of: address) }
    return rows
  }

  /// Whose an address is; nil if nobody claims it.
  ///
  /// One that workloads of different identities claim is nobody's to guess: unknown.
  func row(of address: IPAddress) -> NetworkRow? {
    guard let claimants = claims[address], let first = claimants.first else { return nil }
    guard claimants.values.allSatisfy({ $0 == first.value }) else { return NetworkRow(identity: .unknown) }
    return NetworkRow(identity: first.value, workload: claimants.count == 1 ? first.key : nil)
  }

  /// Replaces or adds a member.
  mutating func set(_ member: Member) {
    let cgroup = member.instance.cgroup
    remove(cgroup)
    members[cgroup] = member
    atLevel[member.instance.level] += 1
    if member.ended != 0 { ended.insert(cgroup) }
    for address in member.claimed { claims[address, default: [:]][cgroup] = member.number }
  }

  /// Notes that a member's cgroup was removed; its addresses are nobody's from now on.
  mutating func end(_ cgroup: CgroupID) {
    guard var member = members[cgroup], member.ended == 0 else { return }
    member.ended = max(1, Clock.monotonicNanoseconds())
    set(member)
  }

  /// Removes a member, if there is one.
  mutating func remove(_ cgroup: CgroupID) {
    guard let former = members[cgroup] else { return }
    members[cgroup] = nil
    ended.remove(cgroup)
    atLevel[former.instance.level] -= 1
    for address in former.claimed {
      claims[address]?[cgroup] = nil
      if claims[address]?.isEmpty == true { claims[address] = nil }
    }
  }
}
