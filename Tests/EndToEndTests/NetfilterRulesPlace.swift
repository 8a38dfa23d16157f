// A namespace with a firewall of its own and pinned programs, in which rules are put into place by the real iptables.

import BPF
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

/// Where one test of the rules happens.
struct NetfilterPlace {
  let sandbox: Sandbox
  let namespace: NetworkNamespace
  /// Programs that return 0: everything passes.
  let pins: String
  let instance: String
  var tools = Iptables()

  init(_ sandbox: Sandbox) throws {
    self.sandbox = sandbox
    namespace = try sandbox.makeNamespace()
    pins = try sandbox.makePinDirectory()
    instance = "-test\(pins.split(separator: "/").last ?? "")"
    // A lock of the test's own: nobody else on the machine waits for it.
    tools.environment.append("XTABLES_LOCKFILE=/tmp/\(instance).lock")
    try pin("sp_nf_output", returning: 0)
    try pin("sp_nf_input", returning: 0)
  }

  /// Pins a program that always gives the same answer, in the place of what was pinned there.
  func pin(_ name: String, returning value: Int32) throws {
    try removePin(at: "\(pins)/\(name)")
    try BPFProgram.load(.socketFilter, name: name, instructions: [.move(0, value), .exit]).pin(at: "\(pins)/\(name)")
  }

  /// Pins a program that refuses everything but TCP resets and what is shorter than 54 bytes.
  ///
  /// The reset that REJECT sends passes OUTPUT too: a program that refuses it would turn REJECT into DROP.
  func pinRefusing(_ name: String) throws {
    try removePin(at: "\(pins)/\(name)")
    func loadByte(_ offset: Int32) -> Instruction { Instruction(0x30, immediate: offset) }
    // The flags are at 33 behind an IPv4 header, at 53 behind an IPv6 header; a load beyond the end returns 0.
    let code: [Instruction] = [
      Instruction(0xbf, target: 6, source: 1), loadByte(0), Instruction(0x77, target: 0, immediate: 4),
      Instruction(0x15, target: 0, offset: 2, immediate: 6), loadByte(33), Instruction(0x05, offset: 1), loadByte(53),
      Instruction(0x57, target: 0, immediate: 4), Instruction(0x15, target: 0, offset: 2, immediate: 0), .move(0, 0),
      .exit, .move(0, 1), .exit,
    ]
    try BPFProgram.load(.socketFilter, name: name, instructions: code).pin(at: "\(pins)/\(name)")
  }

  func ruleset(_ source: SourceView = .kernel, version: String = "2.a.b") -> NetfilterRuleset {
    NetfilterRuleset(
      instance: instance, version: version, outputProgram: "\(pins)/sp_nf_output",
      inputProgram: "\(pins)/sp_nf_input", source: source)
  }

  func rules(
    _ variant: IptablesVariant = .nft, _ source: SourceView = .kernel, version: String = "2.a.b"
  ) -> NetfilterRules {
    NetfilterRules(
      ruleset(source, version: version), settings: NetfilterSettings(variant: variant), tools: tools)
  }

  /// Runs a program in the namespace; its output, or an error with what it said.
  @discardableResult
  func run(_ words: String..., input: String = "", in namespace: NetworkNamespace? = nil) throws -> String {
    let path = try #require(Sandbox.find(words[0]))
    let said = try CapturedProcess.run(
      path, Array(words.dropFirst()), environment: tools.environment, namespace: namespace ?? self.namespace,
      input: input)
    try #require(said.status == 0, "\(words): \(said.errors)")
    return said.output
  }

  /// Everything that is in the tables of a variant, without counters, times and comments.
  func saved(_ variant: IptablesVariant, in namespace: NetworkNamespace? = nil) throws -> String {
    var text = ""
    for name in ["iptables", "ip6tables"] {
      let lines = try run("\(name)-\(variant)-save", in: namespace).split(separator: "\n")
      for line in lines where !line.hasPrefix("#") {
        text += "\(line.hasPrefix(":") ? line.prefix { $0 != "[" } : line[...])\n"
      }
    }
    return text
  }

  /// A firewall as hosts have it: policies, sets, Docker's chains, rules in other tables, for both families.
  func makeFirewall(_ variant: IptablesVariant) throws {
    try run("ipset", "create", "blocked", "hash:net")
    try run("ipset", "add", "blocked", "203.0.113.0/24")
    try run(
      "iptables-\(variant)-restore",
      input: """
        *nat
        :DOCKER - [0:0]
        -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
        -A DOCKER -i docker0 -j RETURN
        COMMIT
        *mangle
        -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
        COMMIT
        *filter
        :INPUT DROP [0:0]
        :FORWARD DROP [0:0]
        :OUTPUT ACCEPT [0:0]
        :DOCKER-USER - [0:0]
        :DOCKER - [0:0]
        -A INPUT -i lo -j ACCEPT
        -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A INPUT -m set --match-set blocked src -j DROP
        -A INPUT -p tcp -m tcp --dport 22 -m comment --comment "people's shell" -j ACCEPT
        -A FORWARD -j DOCKER-USER
        -A OUTPUT -d 198.51.100.0/24 -p udp -m multiport --dports 53,123 -m limit --limit 5/min -j LOG --log-prefix "dns \\"out\\" "
        -A DOCKER-USER -j RETURN
        COMMIT

        """)
    try run(
      "ip6tables-\(variant)-restore",
      input: """
        *filter
        :INPUT DROP [0:0]
        :OUTPUT ACCEPT [0:0]
        -A INPUT -i lo -j ACCEPT
        -A INPUT -p ipv6-icmp -j ACCEPT
        COMMIT

        """)
  }
}

/// Runs `body` in such a place, which goes with its sandbox.
func withNetfilterPlace(_ body: (inout NetfilterPlace) throws -> Void) throws {
  try withSandbox { sandbox in
    var place = try NetfilterPlace(sandbox)
    defer { try? removeFile("/tmp/\(place.instance).lock") }
    try body(&place)
  }
}
