// The two ways to stand in a packet's path.

/// Where the programs are called from: what is covered differs, what is decided does not.
package enum DatapathKind: String, Sendable, CaseIterable, Codable {
  /// BPF programs on a cgroup: `connect()`, `sendto()`, every packet of every socket.
  case cgroup
  /// iptables rules that call pinned BPF programs, in each network namespace of a workload.
  case netfilter

  /// Adopts what an agent before this one left of this kind, or loads the programs anew; takes the lock of `state`.
  ///
  /// What the other kind enforces goes on until this one has attached, and ends then: no packet passes unjudged.
  package func open(_ options: DatapathOptions, state: StateDirectory) throws(DatapathError) -> any KernelDatapath {
    let lock = try state.acquire()
    switch self {
    case .cgroup: return try CgroupDatapath.open(options, state: state, lock: lock)
    case .netfilter: return try NetfilterDatapath.open(options, state: state, lock: lock)
    }
  }

  /// The other one.
  var other: DatapathKind { self == .cgroup ? .netfilter : .cgroup }
}
