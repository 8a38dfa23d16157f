// What a datapath is made with.

/// The options of a datapath in the kernel.
package struct DatapathOptions: Sendable, Equatable {
  /// The cgroup2 directory to enforce on: an absolute path in a file system.
  package var cgroup: String
  /// Where BPF objects are pinned: a directory on a BPF file system.
  package var bpffs: String
  /// Room for networks and addresses, both slots together; rows cost memory only when they exist.
  static let networkEntries: UInt32 = 1_048_576
  /// Room for cells, both slots together.
  package var maxEntries: UInt32
  /// After how much silence a UDP or other conversation is over.
  package var conversationIdle: Duration
  /// The same for ICMP.
  package var echoIdle: Duration
  /// How the netfilter datapath writes its rules.
  package var netfilter = NetfilterSettings()

  /// Takes what has no usual value, and the usual values.
  package init(
    cgroup: String, bpffs: String = "/sys/fs/bpf", maxEntries: UInt32 = 262_144,
    conversationIdle: Duration = .seconds(60), echoIdle: Duration = .seconds(30)
  ) {
    self.cgroup = cgroup
    self.bpffs = bpffs
    self.maxEntries = maxEntries
    self.conversationIdle = conversationIdle
    self.echoIdle = echoIdle
  }
}
