// Which variant is taken, who notices changes, what is found and removed, and what the mark view needs.

import Glibc
import Kernel
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(
  "The rules of the netfilter datapath, in many namespaces",
  .requires(
    .root, .bpf, .pins, .networkNamespaces, .cgroups, .program("iptables-legacy", package: "iptables"),
    .program("nft", package: "nftables"), .program("ipset", package: "ipset")))
struct NetfilterRulesEverywhereTests {
  /// A directory with some of the programs, and others that always fail.
  private func tools(_ names: [String], failing: [String] = [], for place: NetfilterPlace) throws -> Iptables {
    let directory = "/tmp/\(place.instance).sbin"
    try makeDirectory(directory)
    for name in names + failing {
      let path = try #require(Sandbox.find(failing.contains(name) ? "false" : name))
      try place.sandbox.command(["ln", "-s", path.string, "\(directory)/\(name)"])
    }
    var tools = place.tools
    tools.directories = [directory]
    return tools
  }

  @Test("automatic takes nf_tables, also where others use ip_tables; both enforce")
  func automatic() throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(.legacy)
      let before = try place.saved(.legacy)
      let rules = place.rules(.automatic)
      let placement = try rules.install(in: place.namespace)
      #expect(placement.backend == .nft)
      #expect(try place.saved(.legacy) == before)
      #expect(try rules.state(in: place.namespace) == .intact)
      try place.pinRefusing("sp_nf_output")
      try place.rules(.automatic, version: "3.a.b").install(in: place.namespace)
      let listener = try place.namespace.run { try TestSocket.listening("127.0.0.1", 7400) }
      let client = try place.namespace.run { try TestSocket.tcp() }
      #expect(throws: Errno.connectionRefused) { try client.connect("127.0.0.1", 7400) }
      #expect(!listener.isReadable)
    }
  }

  @Test("automatic takes ip_tables where nf_tables is not installed or does not work, and moves when it does")
  func automaticLegacy() throws {
    let legacy = ["iptables", "ip6tables"].flatMap { ["\($0)-legacy-save", "\($0)-legacy-restore"] }
    for failing in [[], ["iptables-nft-save", "iptables-nft-restore"]] {
      try withNetfilterPlace { place in
        let whole = place.rules(.automatic)
        place.tools = try tools(legacy, failing: failing, for: place)
        defer { try? place.sandbox.command(["rm", "-r", place.tools.directories[0]]) }
        let rules = place.rules(.automatic)
        let placement = try rules.install(in: place.namespace)
        #expect(placement.backend == .legacy)
        #expect(try rules.state(in: place.namespace) == .intact)
        #expect(try whole.state(in: place.namespace) == .intact)
        let moved = try whole.install(in: place.namespace)
        #expect(moved.backend == .nft)
        #expect(!(try place.saved(.legacy)).contains("SP-"))
      }
    }
  }

  @Test("another variant chosen: the rules move, and are gone from where they were")
  func moving() throws {
    try withNetfilterPlace { place in
      try place.rules(.legacy).install(in: place.namespace)
      try place.rules(.nft).install(in: place.namespace)
      #expect(!(try place.saved(.legacy)).contains("SP-"))
      #expect(try place.rules(.nft).state(in: place.namespace) == .intact)
    }
  }

  @Test("a kernel without IPv6 has rules for IPv4 alone, and says so")
  func onlyIPv4() throws {
    try withNetfilterPlace { place in
      let rules = NetfilterRules(place.ruleset(), tools: place.tools, families: [.ipv4])
      let placement = try rules.install(in: place.namespace)
      #expect(placement.families == [.ipv4])
      #expect(try rules.state(in: place.namespace) == .intact)
    }
  }

  @Test("everywhere: ours go, others' stay, and where nothing is nothing comes to be")
  func everywhere() throws {
    try withNetfilterPlace { place in
      let (legacy, nft) = (try place.sandbox.makeNamespace(), try place.sandbox.makeNamespace())
      try place.rules(.legacy).install(in: legacy)
      try place.rules(.nft).install(in: nft)
      try place.makeFirewall(.nft)
      let firewall = try place.saved(.nft)
      let empty = try place.sandbox.makeNamespace()
      let other = NetfilterRules(
        NetfilterRuleset(
          instance: "-other", version: "2", outputProgram: place.ruleset().outputProgram,
          inputProgram: place.ruleset().inputProgram, source: .kernel), tools: place.tools)
      try other.install(in: nft)
      let removal = NetfilterRules.removeEverywhere(
        instance: place.instance, from: [legacy, nft, place.namespace, empty], tools: place.tools)
      #expect(removal.failures.isEmpty && removal.examined == 4 && removal.cleaned == 2)
      #expect(!(try place.saved(.legacy, in: legacy)).contains("SP-"))
      #expect(try place.rules(.nft).state(in: nft) == .missing("there are no rules for IPv4"))
      #expect(try other.state(in: nft) == .intact)
      #expect(try place.saved(.nft) == firewall)
      let untouched = try PacketFilterTables.read(in: empty)
      #expect(untouched.chains.isEmpty && untouched.legacy.values.allSatisfy { $0.isEmpty })
    }
  }

  @Test("rules that nobody remembers are found by the processes that live in the namespace")
  func forgotten() throws {
    try withNetfilterPlace { place in
      try place.rules(.nft).install(in: place.namespace)
      _ = try place.sandbox.start(
        ["sleep", "100"], cgroup: try place.sandbox.makeCgroup("inhabitant"), namespace: place.namespace)
      let removal = NetfilterRules.removeEverywhere(instance: place.instance, tools: place.tools)
      #expect(removal.cleaned == 1 && removal.examined >= 2)
      #expect(try place.rules(.nft).state(in: place.namespace) == .missing("there are no rules for IPv4"))
    }
  }

  @Test(
    "a flush by others is noticed without polling",
    arguments: ["nft flush ruleset", "iptables-nft -F", "iptables-legacy -F"])
  func watch(flush: String) throws {
    try withNetfilterPlace { place in
      let isLegacy = flush.contains("legacy")
      let rules = place.rules(isLegacy ? .legacy : .nft)
      try rules.install(in: place.namespace)
      let changes = Mutex<[Bool]>([])
      let identity = place.namespace.identity
      let watch = try NetfilterWatch.start(lockFile: FilePath("/tmp/\(place.instance).lock")) { change in
        switch change {
        case .nftables(let namespace): changes.withLock { $0.append(namespace.identity != identity) }
        case .legacy: changes.withLock { $0.append(true) }
        }
      }
      defer { watch.stop() }
      let other = try place.sandbox.makeNamespace()
      #expect(watch.watch([place.namespace, other]).isEmpty)
      // Changes of other tables are none.
      try place.run("nft", "add", "table", "inet", "firewalld")
      #expect(try rules.state(in: place.namespace) == .intact)
      #expect(changes.withLock { $0 } == [])
      let words = flush.split(separator: " ").map(String.init)
      // The program sees the test's own lock, as iptables sees the host's.
      _ = try CapturedProcess.run(
        try #require(Sandbox.find(words[0])), Array(words.dropFirst()), environment: place.tools.environment,
        namespace: place.namespace)
      #expect(waitFor { changes.withLock { $0.first } } == isLegacy)
      guard case .missing = try rules.state(in: place.namespace) else {
        Issue.record("the flush did not reach our rules")
        return
      }
      try rules.install(in: place.namespace)
      #expect(try rules.state(in: place.namespace) == .intact)
      watch.stop()
    }
  }

  @Test(
    "the mark view: marks by cgroup, the nearest wins, replies pass; a cgroup's name may hold anything",
    arguments: [IptablesVariant.legacy, .nft])
  func told(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      let outer = try place.sandbox.makeThreadedCgroup("outer")
      let strange = "in \"n'e\\r $x.slice"
      let inner = try outer.create(try #require(FilePath(strange).lastComponent))
      try inner.makeThreaded()
      let (hidden, root) = (inner.path.string.dropFirst(), outer.path.string.dropFirst())
      let sources = [
        MarkSource(path: String(root), mark: 0x10000),
        MarkSource(path: String(hidden), mark: 0x20000),
      ]
      let rules = place.rules(variant, .marked(sources, mask: 0x3fff_0000))
      try rules.install(in: place.namespace)
      #expect(try rules.state(in: place.namespace) == .intact)
      // Counted behind our chain by what the mark is, with a mark of the application's beside it.
      for mark in ["0x10007", "0x20007", "0x7"] {
        try place.run("iptables-\(variant)", "-A", "OUTPUT", "-m", "mark", "--mark", mark)
      }
      for (cgroup, port) in [(outer, 7101), (inner, 7102)] {
        let receiver = try place.namespace.run { try TestSocket.bound("127.0.0.1", UInt16(port)) }
        let sender = try place.sandbox.run(in: cgroup, namespace: place.namespace) {
          let socket = try TestSocket.udp()
          // SO_MARK: what is in our bits is a lie.
          try socket.setOption(SOL_SOCKET, 36, 0x3fff_0007)
          try socket.send("x", to: "127.0.0.1", UInt16(port))
          return socket
        }
        #expect(try receiver.receive() == "x")
        _ = sender
      }
      let counters = try place.run("iptables-\(variant)-save", "-c", "-t", "filter").split(separator: "\n")
      let counts = ["0x10007", "0x20007"].map { mark in
        counters.first { $0.contains("--mark \(mark)") }?.prefix { $0 != ":" }
      }
      #expect(counts == ["[1", "[1"])
      // A list with fewer workloads is another transaction; the same rules are none.
      let fewer = place.rules(variant, .marked(Array(sources.prefix(1)), mask: 0x3fff_0000))
      #expect(try fewer.state(in: place.namespace) != .intact)
    }
  }

  @Test(
    "the mark view: mark bits that another rule uses, or a cgroup that is gone, are refused with the name",
    arguments: [IptablesVariant.legacy, .nft])
  func toldRefused(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(variant)
      let before = try place.saved(variant)
      let gone = [MarkSource(path: "sallyport-gone/x", mark: 0x10000)]
      let missing = try #require(throws: DatapathError.self) {
        try place.rules(variant, .marked(gone, mask: 0xff_0000)).install(in: place.namespace)
      }
      #expect(missing.description.contains("sallyport-gone/x"))
      // The firewall restores the low 8 bits of the connection's mark.
      let conflict = try #require(throws: DatapathError.self) {
        try place.rules(variant, .marked([], mask: 0xff)).install(in: place.namespace)
      }
      #expect(conflict.description.contains("-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff"))
      #expect(try place.saved(variant) == before)
    }
  }
}
