// Does our list of tracked connections say what conntrack(8) says, and can we end them?

import Glibc
import Kernel
import TestSupport
import Testing

@Suite(
  "Tracked connections",
  .requires(
    .root, .networkNamespaces, .program("conntrack", package: "conntrack"),
    .program("iptables-nft", package: "iptables")))
struct NetfilterRulesConntrackTests {
  /// A namespace that tracks: a rule that asks for the state makes the kernel track at all.
  private func withTracking(_ body: (Sandbox, NetworkNamespace) throws -> Void) throws {
    try withSandbox { sandbox in
      let namespace = try sandbox.makeNamespace()
      for program in ["iptables-nft", "ip6tables-nft"] {
        try sandbox.command(
          [program, "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED"], namespace: namespace)
      }
      try body(sandbox, namespace)
    }
  }

  private func conntrack(_ namespace: NetworkNamespace, _ words: String...) throws -> String {
    let path = try #require(Sandbox.find("conntrack"))
    return try CapturedProcess.run(path, words, namespace: namespace).output
  }

  @Test("TCP, UDP and ICMP of both families are listed as conntrack -L does")
  func list() throws {
    try withTracking { sandbox, namespace in
      var open: [TestSocket] = []
      for address in ["127.0.0.1", "::1"] {
        open += try namespace.run {
          let listener = try TestSocket.listening(address, 7200)
          let client = try TestSocket.tcp(Family(of: address))
          try client.connect(address, 7200)
          let server = try TestSocket.bound(address, 7201)
          let udp = try TestSocket.udp(Family(of: address))
          try udp.send("x", to: address, 7201)
          return [listener, client, try listener.accept(), server, udp]
        }
      }
      try sandbox.command(["ping", "-c", "1", "-W", "1", "127.0.0.1"], namespace: namespace)
      let entries = try Conntrack.open(in: namespace).list()
      #expect(entries.count == 5)
      for family in ["ipv4", "ipv6"] {
        let lines = try conntrack(namespace, "-L", "-f", family).split(separator: "\n")
        let own = entries.filter { ($0.family == UInt8(AF_INET)) == (family == "ipv4") }
        #expect(lines.count == own.count)
        for entry in own where entry.original.protocol != 1 {
          #expect(
            lines.contains {
              $0.contains("sport=\(entry.original.source.port) dport=\(entry.original.destination.port)")
                && $0.contains("sport=\(entry.reply.source.port) dport=\(entry.reply.destination.port)")
                && $0.contains("[UNREPLIED]") == !entry.isReplied && $0.contains("mark=\(entry.mark)")
            }, "\(entry)")
        }
      }
      let echo = try #require(entries.first { $0.original.protocol == 1 })
      #expect(echo.original.icmp.type == 8 && echo.reply.icmp.type == 0 && echo.isReplied)
      #expect(echo.original.source.isIPv4 && UInt32(truncatingIfNeeded: echo.original.source.low) == 0x7f00_0001)
      let tcp = entries.filter { $0.original.protocol == 6 }
      #expect(tcp.allSatisfy { $0.original.destination.port == 7200 && $0.reply.source.port == 7200 })
    }
  }

  @Test("an entry is ended once, and no other with it", arguments: ["127.0.0.1", "::1"])
  func delete(address: String) throws {
    try withTracking { _, namespace in
      let receiver = try namespace.run { try TestSocket.bound(address, 7300) }
      let (sender, bystander) = try namespace.run {
        (try TestSocket.bound(address, 7301), try TestSocket.bound(address, 7302))
      }
      try sender.send("x", to: address, 7300)
      try bystander.send("x", to: address, 7300)
      let conntrack = try Conntrack.open(in: namespace)
      let first = try #require(try conntrack.list().first { $0.original.source.port == 7301 })
      #expect(try conntrack.delete(first))
      #expect(!(try conntrack.delete(first)))
      let left = try conntrack.list().map(\.original.source.port)
      #expect(left == [7302])
      // To the rules the next packet is a new connection.
      try sender.send("y", to: address, 7300)
      #expect(try conntrack.list().count == 2)
      _ = receiver
    }
  }

  @Test("a namespace that tracks nothing has an empty list")
  func nothing() throws {
    try withSandbox { sandbox in
      let entries = try Conntrack.open(in: try sandbox.makeNamespace()).list()
      #expect(entries.isEmpty)
    }
  }
}
