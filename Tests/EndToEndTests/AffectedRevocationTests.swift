// A pass over what a change of labels can concern finds all that a whole pass would, and asks for little else.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite(
  "Affected revocation", .serialized, .requires(.policing), .policed)
struct AffectedRevocationTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let names = ["a", "b", "c", "d"]

  /// A connection from one workload to another's listener.
  private func connect(
    _ client: PolicedThread, _ near: NetworkNamespace, _ server: PolicedThread, _ far: NetworkNamespace,
    _ address: String, _ port: UInt16
  ) throws -> [TestSocket] {
    let listener = try server.run(in: far) { try TestSocket.listening(address, port) }
    let stream = try client.run(in: near) {
      let stream = try TestSocket.tcp(Family(of: address))
      try stream.connect(address, port)
      return stream
    }
    return [stream, try listener.accept(), listener]
  }

  @Test(
    "[37] whoever's labels change, on either end, in one namespace or across: a whole pass afterwards finds nothing")
  func complete() async throws {
    let pair = try policed.pair()
    for changing in Self.names {
      try await policed.apply(
        Policed.outgoing("app in (a,b,c,d)", to: "any", "tcp/8000-8999")
          + Policed.incoming("app in (a,b,c,d)", from: "app in (a,b,c,d)", "tcp/8000-8999")
          + Policed.outgoing("app=changed", to: "app=nobody", "tcp/1"))
      var threads: [String: PolicedThread] = [:]
      for name in Self.names {
        threads[name] = try await policed.workload(
          name, "app=\(name)", at: name == "d" ? ["10.77.0.2", "fd77::2"] : [])
      }
      var open: [TestSocket] = []
      var port: UInt16 = 8000
      for (client, server) in [("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("a", "c")] {
        for address in ["127.0.0.1", "::1"] {
          open += try connect(
            try #require(threads[client]), policed.home, try #require(threads[server]), policed.home, address, port)
          port += 1
        }
      }
      let d = try #require(threads["d"])
      for (client, address) in [("a", "10.77.0.2"), ("b", "10.77.0.2"), ("c", "fd77::2")] {
        open += try connect(try #require(threads[client]), pair.left, d, pair.right, address, port)
        port += 1
      }
      _ = try policed.mark()
      let thread = try #require(threads[changing])
      try await policed.label(thread.cgroup, "app=changed", at: changing == "d" ? ["10.77.0.2", "fd77::2"] : [])
      let affected = try await policed.revoke(affecting: [thread.cgroup.id])
      #expect(affected.destroyed > 0 && affected.failures.isEmpty)
      let whole = try await policed.revoke()
      #expect(whole.revoked.isEmpty, "\(changing): \(whole.revoked.map(\.socket))")
      #expect(affected.judged < whole.judged + affected.revoked.count)
      _ = open
    }
  }

  @Test("a change that concerns one connection of thousands asks for that one")
  func cost() async throws {
    try await policed.apply(
      Policed.outgoing("app=busy", to: "any", "tcp/8000-8999")
        + Policed.incoming("app in (busy,quiet)", from: "app in (busy,quiet)", "tcp/8000-8999")
        + Policed.outgoing("app=quiet", to: "any", "tcp/8000-8999"))
    let (busy, quiet) = (
      try await policed.workload("busy", "app=busy"), try await policed.workload("quiet", "app=quiet")
    )
    let listener = try busy.run { try TestSocket.listening("127.0.0.1", 8000, backlog: 4096) }
    var open = try busy.run {
      try (0..<2000).flatMap { _ in
        let stream = try TestSocket.tcp()
        try stream.connect("127.0.0.1", 8000)
        return [stream, try listener.accept()]
      }
    }
    open += try quiet.run {
      let stream = try TestSocket.tcp()
      try stream.connect("127.0.0.1", 8000)
      return [stream, try listener.accept()]
    }
    _ = try policed.mark()
    try await policed.label(quiet.cgroup, "app=silent")
    let clock = ContinuousClock()
    let start = clock.now
    let affected = try await policed.revoke(affecting: [quiet.cgroup.id])
    let between = clock.now
    let whole = try await policed.revoke()
    print("affected \(affected.listed) sockets in \(between - start), all \(whole.listed) in \(clock.now - between)")
    // The reset of one end may end the other before its turn.
    #expect(affected.destroyed + affected.gone == 2 && affected.listed < 10)
    #expect(whole.revoked.isEmpty && whole.listed > 4000)
    _ = open
  }
}
