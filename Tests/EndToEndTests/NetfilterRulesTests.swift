// Does the real iptables put our rules in place and out again, and leave everybody else's alone?

import BPF
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(
  "The rules of the netfilter datapath",
  .requires(
    .root, .bpf, .pins, .networkNamespaces, .program("iptables-legacy", package: "iptables"),
    .program("ipset", package: "ipset")))
struct NetfilterRulesTests {
  static let variants: [IptablesVariant] = [.legacy, .nft]

  @Test("rules of others are as they were after install and remove, byte for byte", arguments: variants)
  func others(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(variant)
      let before = try place.saved(variant)
      let rules = place.rules(variant)
      try rules.install(in: place.namespace)
      let during = try place.saved(variant)
      #expect(during != before)
      // What is not ours is there in the same order.
      let ours = during.split(separator: "\n").filter { $0.contains("SP-") }
      #expect(ours.count == 2 * 7)
      #expect(during.split(separator: "\n").filter { !$0.contains("SP-") } == before.split(separator: "\n"))
      #expect(try rules.state(in: place.namespace) == .intact)
      try rules.remove(from: place.namespace)
      #expect(try place.saved(variant) == before)
    }
  }

  @Test("installing twice changes nothing the second time", arguments: variants)
  func idempotent(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      let rules = place.rules(variant)
      try rules.install(in: place.namespace)
      let once = try place.saved(variant)
      try rules.install(in: place.namespace)
      #expect(try place.saved(variant) == once)
      #expect(try rules.state(in: place.namespace) == .intact)
    }
  }

  @Test("a program that refuses: TCP is reset, a datagram is EPERM, what arrives is dropped", arguments: variants)
  func verdicts(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.pinRefusing("sp_nf_output")
      try place.rules(variant).install(in: place.namespace)
      let namespace = place.namespace
      for address in ["127.0.0.1", "::1"] {
        let listener = try namespace.run { try TestSocket.listening(address, 7000) }
        let (tcp, udp) = try namespace.run {
          (try TestSocket.tcp(Family(of: address)), try TestSocket.udp(Family(of: address)))
        }
        #expect(throws: Errno.connectionRefused) { try tcp.connect(address, 7000) }
        let long = String(repeating: "a", count: 100)
        #expect(throws: Errno.notPermitted) { try udp.send(long, to: address, 7001) }
        #expect(!listener.isReadable)
      }
      // The other way: sent, but never there.
      try place.pin("sp_nf_output", returning: 0)
      try place.pin("sp_nf_input", returning: 1)
      try place.rules(variant, version: "3.a.b").install(in: place.namespace)
      let receiver = try namespace.run { try TestSocket.bound("127.0.0.1", 7002) }
      let sender = try namespace.run { try TestSocket.udp() }
      try sender.send("x", to: "127.0.0.1", 7002)
      #expect(!receiver.isReadable)
    }
  }

  @Test("another version's rules are told apart and replaced; other instances' stay", arguments: variants)
  func versions(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      let (old, new) = (place.rules(variant, version: "1.a.b"), place.rules(variant))
      try old.install(in: place.namespace)
      #expect(try new.state(in: place.namespace) == .foreign(version: "1.a.b"))
      let other = NetfilterRules(
        NetfilterRuleset(
          instance: "-other", version: "2.a.b", outputProgram: place.ruleset().outputProgram,
          inputProgram: place.ruleset().inputProgram, source: .kernel),
        settings: NetfilterSettings(variant: variant), tools: place.tools)
      try other.install(in: place.namespace)
      try new.install(in: place.namespace)
      #expect(try new.state(in: place.namespace) == .intact)
      // Two instances on one host cannot both be first.
      #expect(try other.state(in: place.namespace) == .missing("other rules come before ours in OUTPUT of IPv4"))
      try new.remove(from: place.namespace)
      #expect(try other.state(in: place.namespace) == .intact)
      #expect(try new.state(in: place.namespace) == .missing("there are no rules for IPv4"))
    }
  }

  @Test("whatever is taken away is noticed in words and put back", arguments: variants)
  func damage(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      let (rules, chains) = (place.rules(variant), place.ruleset().chains)
      try rules.install(in: place.namespace)
      let whole = try place.saved(variant)
      let command = "iptables-\(variant)"
      let damages: [([String], String)] = [
        ([command, "-F"], "the rule"), ([command, "-F", "OUTPUT"], "the jump in OUTPUT of IPv4"),
        (["ip6tables-\(variant)", "-D", "INPUT", "1"], "the jump in INPUT of IPv6"),
        ([command, "-I", "INPUT", "-j", "ACCEPT"], "other rules come before ours in INPUT of IPv4"),
        ([command, "-A", chains.input, "-j", "ACCEPT"], "a rule that is not ours"),
        ([command, "-I", chains.output, "-j", "RETURN"], "a rule that is not ours"),
        ([command, "-A", "FORWARD", "-j", chains.output], "more rules of ours"),
        (["sh", "-c", "printf '*filter\\nCOMMIT\\n' | \(command)-restore"], "there are no rules for IPv4"),
      ]
      for (words, told) in damages {
        try place.sandbox.command(words, namespace: place.namespace)
        let state = try rules.state(in: place.namespace)
        guard case .missing(let what) = state, what.contains(told) else {
          Issue.record("\(words): \(state)")
          continue
        }
        try rules.install(in: place.namespace)
        #expect(try rules.state(in: place.namespace) == .intact)
        if words.contains("ACCEPT"), words.contains("INPUT") {
          try place.run(command, "-D", "INPUT", "-j", "ACCEPT")
        }
        #expect(try place.saved(variant) == whole, "\(words)")
      }
    }
  }

  @Test("no packet gets past while versions and variants replace each other")
  func replacing() throws {
    try withNetfilterPlace { place in
      try place.pinRefusing("sp_nf_output")
      try place.rules(.legacy).install(in: place.namespace)
      let receiver = try place.namespace.run { try TestSocket.bound("127.0.0.1", 7500) }
      let sender = try place.namespace.run { try TestSocket.udp() }
      let long = String(repeating: "a", count: 100)
      let load = try Background<Int> { progress in
        var refused = 0
        while progress.next() {
          do { try sender.send(long, to: "127.0.0.1", 7500) } catch Errno.notPermitted { refused += 1 }
        }
        return refused
      }
      for round in 0..<10 {
        for variant in Self.variants {
          try place.rules(variant, version: "\(round).a.b").install(in: place.namespace)
        }
      }
      try place.rules(.legacy).install(in: place.namespace)
      let refused = try load.finish()
      #expect(refused == load.progress.count - 1 && refused > 1000)
      #expect(!receiver.isReadable)
    }
  }

  @Test("putting rules in place and looking at them costs milliseconds", arguments: variants)
  func cost(variant: IptablesVariant) throws {
    try withNetfilterPlace { place in
      try place.makeFirewall(variant)
      let rules = place.rules(variant)
      let (began, clock) = (Clock.monotonicNanoseconds(), Clock.monotonicNanoseconds)
      try rules.install(in: place.namespace)
      let installed = clock()
      for _ in 0..<10 { #expect(try rules.state(in: place.namespace) == .intact) }
      let looked = clock()
      // For whoever reads the log; the bound is loose, for machines under load.
      print(
        "rules: \(variant) installed in \((installed - began) / 1000) µs, looked at in \((looked - installed) / 10_000) µs"
      )
      #expect(installed - began < 5_000_000_000)
    }
  }
}
