// What people may choose about the rules of the netfilter datapath.

package import Kernel

/// Which of the two programs called iptables keeps the rules.
package enum IptablesVariant: String, Sendable, CaseIterable {
  /// nf_tables where program and kernel have it, else ip_tables.
  case automatic
  /// ip_tables. While our rules are there, nobody who has another /sys/fs/bpf (a container) can change the table filter.
  case legacy
  /// nf_tables behind the same commands; next to rules of ip_tables it enforces as well.
  case nft
}

/// How the programs of the netfilter datapath learn whose packet it is.
package enum NetfilterView: String, Sendable, CaseIterable {
  /// They read the kernel's sockets, which needs its BTF.
  case exact
  /// Rules mark what a cgroup sends, and the agent tells who listens.
  case mark
}

/// The settings of the rules.
package struct NetfilterSettings: Sendable, Equatable {
  /// Which iptables.
  package var variant: IptablesVariant
  /// The bits of the packet mark that are ours, in the mark view; no other rule may use them.
  package var markMask: UInt32
  /// How the programs learn whose packet it is; nil = as exactly as this kernel can.
  package var view: NetfilterView?

  /// Sixteen high bits that Docker, Kubernetes (0x4000, 0x8000) and Cilium's defaults leave alone.
  package static let standardMarkMask: UInt32 = 0x3fff_0000

  /// Namespaces in which nothing is written, although policed processes live there: what they do there is not judged.
  package var spared: Set<NetworkNamespace.Identity> = []

  /// Settings.
  package init(variant: IptablesVariant = .automatic, markMask: UInt32 = NetfilterSettings.standardMarkMask) {
    self.variant = variant
    self.markMask = markMask
  }
}
