// Which rules of others use bits of the packet mark?

import Testing

@testable import Enforcement

@Suite struct NetfilterMarkTests {
  @Test(
    "a rule that sets, saves, restores or compares bits of ours is found",
    arguments: [
      "-A PREROUTING -j MARK --set-xmark 0x10000/0xffffffff", "-A OUTPUT -j MARK --set-xmark 0x0/0x3fff0000",
      "-A OUTPUT -j MARK --set-xmark 0x20000/0x1", "-A X -p tcp -m mark --mark 0x1 -j ACCEPT",
      "-A X -m mark ! --mark 0x10000/0x10000 -j DROP", "-A PREROUTING -j CONNMARK --restore-mark",
      "-A OUTPUT -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
      "-A PREROUTING -p udp -j TPROXY --on-port 5 --on-ip 0.0.0.0 --tproxy-mark 0x10000/0x10000",
      "-A X -j MARK --or-mark 0x20000", "-A X -j MARK --and-mark 0xff", "-A X -j HMARK --hmark-mod 2",
      "-A X -j SET --map-set a src --map-mark",
    ])
  func found(rule: String) {
    #expect(MarkConflicts(mask: 0x3fff_0000).rule(in: "*mangle\n:X - [0:0]\n-A X -j DROP\n\(rule)\nCOMMIT") == rule)
  }

  @Test(
    "other bits, connection marks and our own chains are let be",
    arguments: [
      "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000", "-A X -m mark ! --mark 0x4000/0x4000 -j RETURN",
      "-A X -j CONNMARK --set-xmark 0x10000/0xffffffff", "-A X -m connmark --mark 0x10000 -j ACCEPT",
      "-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", "-A X -j ACCEPT",
      "-A SP-1cc61a7b383f6af4-src -m cgroup --path a -j MARK --set-xmark 0x10000/0x3fff0000",
      "-A X -p tcp -m comment --comment \"--mark 0x10000\" -j ACCEPT",
    ])
  func letBe(rule: String) {
    #expect(MarkConflicts(mask: 0x3fff_0000).rule(in: rule) == nil)
  }

  @Test("a source that cannot be a rule is refused before iptables is asked")
  func unwritable() {
    func refusal(_ path: String, _ mark: UInt32) -> String? {
      NetfilterRuleset(
        instance: "-a", version: "2", outputProgram: "/p", inputProgram: "/q",
        source: .marked([MarkSource(path: path, mark: mark)], mask: 0x3fff_0000)
      ).unwritableSource?.reason
    }
    #expect(refusal("a\n-A OUTPUT -j ACCEPT", 0x10000)?.contains("control") == true)
    #expect(refusal(String(repeating: "a", count: 512), 0x10000)?.contains("511") == true)
    #expect(refusal("a", 0x1)?.contains("mask") == true)
    #expect(refusal("a", 0)?.contains("mask") == true)
    #expect(refusal("a", 0x10000) == nil)
  }

  @Test("a word is quoted as iptables-save does it, and read back", arguments: ["a", "a b", "q\"u'o\\te", "ä.slice"])
  func quoting(word: String) {
    let quoted = NetfilterRuleset.quoted(word)
    #expect(NetfilterRuleset.unquoted("\(quoted) -j MARK") == word)
    #expect((quoted == word) == (word == "a"))
  }
}
