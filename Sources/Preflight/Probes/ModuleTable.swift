// The published list of kernel modules, what each has become, who needs it, and how to try it.
internal import Kernel

/// One module of the published list, or one that the netfilter datapath needs besides.
struct ModuleRequirement: Sendable {
  /// How to find out whether the kernel has it, without asking for its name.
  enum Trial: Sendable {
    /// A rule of iptables, in a table of a family; `variants` nil = those that the datapath would use.
    case rule(String, table: String = "filter", family: IPFamily = .ipv4, variants: [String]? = nil)
    /// A set that `ipset create` makes: its type and options.
    case set([String])
    /// A rule that looks into a set of the type hash:net.
    case setRule(String)
    /// A filter of tc(8).
    case classifier(String)
  }

  /// The published name.
  let name: String
  /// What it has been renamed to or merged into, the newest first; empty while it keeps its name.
  let today: [String]
  /// Who needs it.
  let features: [Purpose]
  /// What it is for.
  let purpose: String
  /// Whether the netfilter datapath needs it in its mark view alone, which is for kernels without BTF.
  let isForMarkView: Bool
  /// How it is tried.
  let trial: Trial

  init(
    _ name: String, today: [String] = [], by features: [Purpose] = [.published], _ purpose: String,
    markView: Bool = false,
    _ trial: Trial
  ) {
    self.name = name
    self.today = today
    self.features = features
    self.purpose = purpose
    isForMarkView = markView
    self.trial = trial
  }

  /// Every name under which a kernel may have it.
  var names: [String] { [name] + today }

  /// The published list in its order; then what else the netfilter datapath uses.
  static let all: [ModuleRequirement] = [
    ModuleRequirement(
      "xt_cgroup", by: [.netfilter], "tells in a rule which cgroup a packet's socket belongs to", markView: true,
      .rule("OUTPUT -m cgroup --path / -j ACCEPT")),
    ModuleRequirement("xt_limit", "limits how often a rule matches", .rule("OUTPUT -m limit --limit 5/s -j ACCEPT")),
    ModuleRequirement(
      "xt_multiport", "several ports in a rule", .rule("OUTPUT -p tcp -m multiport --dports 80,443 -j ACCEPT")),
    ModuleRequirement("xt_connmark", "marks of connections", .rule("OUTPUT -m connmark --mark 1 -j ACCEPT")),
    ModuleRequirement(
      "xt_REDIRECT", "redirects a connection to a local port",
      .rule("OUTPUT -p tcp -j REDIRECT --to-ports 8080", table: "nat")),
    ModuleRequirement(
      "xt_string", "finds a text in a packet", .rule("OUTPUT -m string --algo kmp --string x -j ACCEPT")),
    ModuleRequirement(
      "xt_HMARK", "marks packets by a hash of their addresses",
      .rule("OUTPUT -j HMARK --hmark-tuple src,dst --hmark-mod 8 --hmark-rnd 1", table: "mangle")),
    ModuleRequirement("xt_LOG", "logs packets", .rule("OUTPUT -j LOG")),
    ModuleRequirement(
      "xt_bpf", by: [.netfilter], "runs the pinned verdict programs in a rule",
      .rule("OUTPUT -m bpf --bytecode \"1,6 0 0 65535\" -j ACCEPT")),
    ModuleRequirement(
      "xt_state", today: ["xt_conntrack"], by: [.netfilter], "lets replies of connections through", markView: true,
      .rule("OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")),
    ModuleRequirement("xt_set", "looks an address up in a set", .setRule("OUTPUT -m set --match-set sp-preflight src")),
    ModuleRequirement(
      "nf_nat_redirect", today: ["nf_nat"], "the work behind xt_REDIRECT",
      .rule("OUTPUT -p tcp -j REDIRECT --to-ports 8080", table: "nat")),
    ModuleRequirement("nf_log_common", today: ["nf_log_syslog"], "writes the lines of xt_LOG", .rule("OUTPUT -j LOG")),
    ModuleRequirement(
      "nf_conntrack_ipv6", today: ["nf_conntrack"], by: [.netfilter], "follows connections of IPv6", markView: true,
      .rule("OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", family: .ipv6)),
    ModuleRequirement("nf_log_ipv4", today: ["nf_log_syslog"], "writes the lines of xt_LOG", .rule("OUTPUT -j LOG")),
    ModuleRequirement("ip_set", "sets of addresses and ports", .set(["list:set"])),
    ModuleRequirement("ip_set_bitmap_port", "sets of ports", .set(["bitmap:port", "range", "1-100"])),
    ModuleRequirement("ip_set_hash_netport", "sets of networks with ports", .set(["hash:net,port"])),
    ModuleRequirement("ip_set_hash_net", "sets of networks", .set(["hash:net"])),
    ModuleRequirement(
      "ts_bm", "searches texts for xt_string", .rule("OUTPUT -m string --algo bm --string x -j ACCEPT")),
    ModuleRequirement("cls_cgroup", "sorts traffic by net_cls of version 1", .classifier("cgroup")),
    ModuleRequirement(
      "ip_tables", today: ["nf_tables"], "tables of rules; nf_tables holds those of iptables-nft",
      .rule("OUTPUT -j ACCEPT", variants: ["legacy", "nft"])),
    ModuleRequirement(
      "iptable_nat", today: ["nft_chain_nat", "nf_tables"], "the table nat",
      .rule("OUTPUT -j ACCEPT", table: "nat", variants: ["legacy", "nft"])),
    ModuleRequirement(
      "iptable_mangle", today: ["nf_tables"], "the table mangle",
      .rule("OUTPUT -j ACCEPT", table: "mangle", variants: ["legacy", "nft"])),
    ModuleRequirement(
      "xt_mark", by: [.netfilter], "tells in a mark which workload sends", markView: true,
      .rule("OUTPUT -j MARK --set-xmark 0x1/0x1")),
    ModuleRequirement(
      "xt_comment", by: [.netfilter], "says in a rule whose it is", .rule("OUTPUT -m comment --comment x -j ACCEPT")),
    ModuleRequirement(
      "ipt_REJECT", by: [.netfilter], "tells a TCP client at once that it was refused",
      .rule("OUTPUT -p tcp -j REJECT --reject-with tcp-reset")),
    ModuleRequirement(
      "ip6t_REJECT", by: [.netfilter], "the same for IPv6",
      .rule("OUTPUT -p tcp -j REJECT --reject-with tcp-reset", family: .ipv6)),
  ]

  /// The command that tries the same by hand, in a network namespace of its own.
  var attempt: String {
    switch trial {
    case .rule(let rule, let table, let family, let variants):
      let program = (family == .ipv4 ? "iptables" : "ip6tables") + (variants.map { "-\($0[0])" } ?? "")
      return "unshare -n \(program) -t \(table) -A \(rule)"
    case .set(let words): return "unshare -n ipset create x \(words.joined(separator: " "))"
    case .setRule: return "unshare -n sh -c 'ipset create x hash:net && iptables -A OUTPUT -m set --match-set x src'"
    case .classifier(let kind): return "tc filter add … \(kind), on the loopback interface of a namespace of its own"
    }
  }
}
