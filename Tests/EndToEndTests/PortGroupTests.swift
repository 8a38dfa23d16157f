// Groups of sockets on one port (SO_REUSEPORT), whose members are of one workload or of several.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Groups of sockets on one port", .serialized, .requires(.policing), .policed)
struct PortGroupTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static func member(_ family: Family) throws -> (datagrams: TestSocket, stream: TestSocket) {
    let (datagrams, stream) = (try TestSocket.udp(family), try TestSocket.tcp(family))
    for socket in [datagrams, stream] { try socket.setOption(1, 15, 1) }
    try datagrams.bind(family.loopback, 9001)
    try stream.bind(family.loopback, 9000)
    try stream.startListening()
    return (datagrams, stream)
  }

  @Test(
    "a workload and its children without labels share a port, and each member may answer", arguments: Family.allCases)
  func children(family: Family) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, udp/9001"))
    let (web, db) = (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
    let threads = [db, try policed.thread("db/one"), try policed.thread("db/two")]
    let members = try threads.map { thread in (thread, try thread.run { try Self.member(family) }) }
    var answers: Set<Int> = []
    for _ in 0..<32 {
      let (client, caller) = try web.run { () throws -> (TestSocket, TestSocket) in
        let (client, caller) = (try TestSocket.udp(family), try TestSocket.tcp(family))
        try client.send("question", to: family.loopback, 9001)
        try caller.connect(family.loopback, 9000)
        return (client, caller)
      }
      let found = try #require(members.firstIndex { $0.1.datagrams.isReadable })
      let (thread, member) = members[found]
      try thread.run {
        let (_, sender) = try member.datagrams.receiveFrom()
        _ = try member.datagrams.reply("answer", to: sender)
      }
      #expect(try client.receive() == "answer")
      answers.insert(found)
      #expect(members.contains { $0.1.stream.isReadable })
      for (_, member) in members where member.stream.isReadable { _ = try member.stream.accept() }
      _ = caller
    }
    #expect(answers.count > 1)
  }

  @Test("a child that its workload rejects gets nothing of what is for the workload", arguments: Family.allCases)
  func rejectedChild(family: Family) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, udp/9001"))
    let (web, db) = (try await policed.workload("web", "app=web"), try policed.thread("db"))
    let child = try policed.thread("db/one")
    try await policed.label(db.cgroup, "app=db", rejectingChildren: true)
    let (own, foreign) = (try db.run { try Self.member(family) }, try child.run { try Self.member(family) })
    let callers = try web.run {
      (0..<32).map { _ in
        let (client, caller) = (try? TestSocket.udp(family), try? TestSocket.tcp(family))
        _ = try? client?.send("question", to: family.loopback, 9001)
        try? caller?.startConnect(family.loopback, 9000)
        return caller
      }
    }
    #expect(!foreign.datagrams.isReadable)
    #expect(!foreign.stream.isReadable)
    // A rule does not see which member the kernel chooses: there nobody gets it.
    #expect(own.datagrams.isReadable == (policed.datapath.kind == .cgroup))
    try await policed.label(db.cgroup, "app=db")
    _ = callers
  }
}
