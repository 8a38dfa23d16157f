// When iptables cannot do it: does the error name what stands in the way, and is everything as it was before?

import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(
  "The rules of the netfilter datapath, when something is missing",
  .requires(
    .root, .bpf, .pins, .networkNamespaces, .program("iptables-legacy", package: "iptables"),
    .program("ipset", package: "ipset"), .program("flock", package: "util-linux")))
struct NetfilterRulesFaultTests {
  static let variants: [IptablesVariant] = [.legacy, .nft]

  /// The error of installing into a namespace with a firewall, whose tables must be as they were.
  private func refusal(
    _ place: NetfilterPlace, _ rules: NetfilterRules, _ variant: IptablesVariant
  ) throws -> DatapathError {
    let before = try place.saved(variant)
    let error = try #require(throws: DatapathError.self) { try rules.install(in: place.namespace) }
    #expect(try place.saved(variant) == before)
    #expect(error.description.contains("net:["))
    return error
  }

  /// A copy of iptables' directory of extensions without one of them.
  private func extensions(without missing: String, for place: NetfilterPlace) throws -> String {
    let places = ["/usr/lib/x86_64-linux-gnu/xtables", "/usr/lib/aarch64-linux-gnu/xtables", "/usr/lib64/xtables"]
    let whole = try #require(places.first { isThere($0) })
    let directory = "/tmp/\(place.instance).xtables"
    try makeDirectory(directory)
    for name in try directoryNames(whole) where name != missing {
      try place.sandbox.command(["ln", "-s", "\(whole)/\(name)", "\(directory)/\(name)"])
    }
    return directory
  }

  @Test("a missing extension: the rule, the library and the package are named", arguments: variants)
  func missingExtension(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(variant)
      let directory = try extensions(without: "libxt_bpf.so", for: place)
      defer { try? place.sandbox.command(["rm", "-r", directory]) }
      place.tools.environment.append("XTABLES_LIBDIR=\(directory)")
      let error = try refusal(place, place.rules(variant), variant)
      #expect(error.description.contains("libxt_bpf.so is missing"))
      #expect(error.description.contains("-p tcp -m bpf --object-pinned"))
      #expect(error.remedy?.contains("package iptables") == true)
    }
  }

  @Test(
    "IPv6 fails after IPv4 was done: IPv4 is as it was, also where another version was in force", arguments: variants)
  func halfWay(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(variant)
      let directory = try extensions(without: "libip6t_REJECT.so", for: place)
      defer { try? place.sandbox.command(["rm", "-r", directory]) }
      var broken = place
      broken.tools.environment.append("XTABLES_LIBDIR=\(directory)")
      let error = try refusal(place, broken.rules(variant), variant)
      #expect(error.description.contains("libip6t_REJECT.so is missing"))
      // With rules of another version, and not even at the first place.
      try place.rules(variant, version: "1.a.b").install(in: place.namespace)
      try place.run("iptables-\(variant)", "-I", "OUTPUT", "-p", "sctp", "-j", "ACCEPT")
      try place.run("iptables-\(variant)", "-A", place.ruleset().chains.input, "-p", "sctp", "-j", "DROP")
      _ = try refusal(place, broken.rules(variant), variant)
      #expect(try place.rules(variant).state(in: place.namespace) == .foreign(version: "1.a.b"))
    }
  }

  @Test("a program that is not pinned is named", arguments: variants)
  func missingProgram(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(variant)
      try removeFile("\(place.pins)/sp_nf_input")
      let error = try refusal(place, place.rules(variant), variant)
      #expect(error.description.contains("not pinned"))
    }
  }

  @Test("a held xtables lock: the wait ends, and the holder is named")
  func lock() throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(.legacy)
      place.tools.lockWait = .seconds(1)
      let file = "/tmp/\(place.instance).lock"
      let holder = try place.sandbox.start(
        ["flock", file, "sleep", "100"], cgroup: try place.sandbox.makeCgroup("holder"))
      let inode = try #require(FileIdentity.at(file) ?? waitFor { FileIdentity.at(file) }).inode
      let isHeld = try waitFor { try readKernelFile("/proc/locks").contains(":\(inode) ") ? true : nil }
      #expect(isHeld == true)
      let error = try refusal(place, place.rules(.legacy), .legacy)
      #expect(error.description.contains("held by process \(holder.handle.id.rawValue) (flock)"))
    }
  }

  @Test("no iptables, or not the chosen one, is said with the package")
  func noTools() throws {
    try withNetfilterPlace { place in
      place.tools.directories = ["/nonexistent"]
      for variant in IptablesVariant.allCases {
        let error = try #require(throws: DatapathError.self) {
          try place.rules(variant).install(in: place.namespace)
        }
        #expect(error.description.contains("/nonexistent"))
        #expect(error.remedy?.contains("package iptables") == true)
      }
      // Nothing was touched: there is no table.
      #expect(try PacketFilterTables.read(in: place.namespace).chains.isEmpty)
    }
  }

  @Test("a kernel that lacks a match is told by its name and module")
  func missingModule() throws {
    try withNetfilterPlace { place in
      func told(_ errors: String, _ backend: IptablesBackend) -> DatapathError {
        let said = CapturedProcess(status: 2, output: "", errors: errors)
        let text = OwnRules().transaction(to: place.ruleset().rules(.ipv4))
        return IptablesFault(.ipv4, backend, place.namespace, said, text: text, tools: place.tools).error("change")
      }
      // What iptables 1.8 prints; this machine's kernel has every match built in.
      let old = told("Warning: Extension bpf revision 1 not supported, missing kernel module?\nline 4 failed\n", .nft)
      #expect(old.problem.hasPrefix("change \(place.namespace.description) by iptables-nft: rule '-A "), "\(old)")
      #expect(old.problem.contains("': the kernel has no match bpf: Warning: Extension bpf"), "\(old)")
      #expect(old.remedy?.contains("xt_bpf") == true)
      // User-mode Linux without xt_bpf: the chains fail too, but no rule of nft is in the way.
      let both = told(
        """
        Warning: Extension bpf revision 0 not supported, missing kernel module?
        iptables-nft-restore v1.8.9 (nf_tables):
        line 2: TABLE_ADD failed (Operation not supported): table filter
        line 2: CHAIN_ADD failed (No such file or directory): chain OUTPUT

        """, .nft)
      #expect(both.description.contains("the kernel has no match bpf"))
      #expect(both.remedy?.contains("xt_bpf") == true)
      let bare = told(
        """
        iptables-nft-restore v1.8.9 (nf_tables):
        line 2: TABLE_ADD failed (Operation not supported): table filter
        line 2: CHAIN_ADD failed (No such file or directory): chain OUTPUT

        """, .nft)
      #expect(bare.description.contains("there is no table filter"))
      #expect(bare.remedy?.contains("nf_tables") == true)
      let table = told("can't initialize iptables table `filter': Table does not exist\n", .legacy)
      #expect(table.remedy?.contains("iptable_filter") == true)
    }
  }

  @Test(
    "rules of nftables itself in the table filter: refused with a remedy, nothing changed",
    .requires(.program("nft", package: "nftables")))
  func incompatible() throws {
    try withNetfilterPlace { place in
      try place.run("nft", "add table ip filter { chain OUTPUT { type nat hook output priority 0; }; }")
      let before = try place.run("nft", "list", "ruleset")
      let error = try #require(throws: DatapathError.self) {
        try place.rules(.nft).install(in: place.namespace)
      }
      #expect(error.description.contains("made by nft"))
      #expect(try place.run("nft", "list", "ruleset") == before)
    }
  }
}

extension NetfilterRulesFaultTests {
  @Test(
    "a table that was put to sleep is not taken for enforcement, and rules are not put into one",
    .requires(.program("nft", package: "nftables")))
  func dormant() throws {
    try withNetfilterPlace { place in
      let rules = place.rules(.nft)
      try rules.install(in: place.namespace)
      try place.run("nft", "add table ip6 filter { flags dormant; }")
      #expect(
        try rules.state(in: place.namespace)
          == .missing("the rules for IPv6 are there, but the table filter is dormant or not hooked"))
      try rules.remove(from: place.namespace)
      let error = try #require(throws: DatapathError.self) { try rules.install(in: place.namespace) }
      #expect(error.description.contains("dormant"))
      #expect(!(try place.saved(.nft)).contains("SP-"))
      try place.run("nft", "add table ip6 filter")
      try rules.install(in: place.namespace)
    }
  }
}

/// Tries again until there is a value, for at most ten seconds.
func waitFor<T>(_ body: () throws -> T?) rethrows -> T? {
  let end = Clock.monotonicNanoseconds() + 10_000_000_000
  while Clock.monotonicNanoseconds() < end {
    if let value = try body() { return value }
    usleep(5000)
  }
  return nil
}
