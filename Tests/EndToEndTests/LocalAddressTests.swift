// Who the destination is: a socket of the caller's namespace counts only at an address of that namespace, on its device.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Local addresses", .serialized, .requires(.policing), .policed)
struct LocalAddressTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let lan = Policed.network("lan", "10.77.0.0/24, \"fd77::/64\"")
  private static let own = ["10.77.0.1", "fd77::1"]

  /// A socket that is bound to the device that joins the pair.
  private static func onDevice(_ socket: TestSocket) throws -> TestSocket {
    try socket.setOption(SOL_SOCKET, SO_BINDTODEVICE, bytes: Array("sp0\0".utf8))
    return socket
  }

  private static func listeningOnDevice(_ address: String, _ port: UInt16) throws -> TestSocket {
    let socket = try onDevice(TestSocket.tcp(Family(of: address)))
    try socket.bind(address, port)
    try socket.startListening()
    return socket
  }

  @Test("a listener on any address is not the destination of what goes elsewhere", arguments: ["10.77.0.2", "fd77::2"])
  func elsewhere(address: String) async throws {
    try await policed.apply(Self.lan + Policed.outgoing("app=web", to: "network:lan", "tcp/9100, udp/9101"))
    let (web, other) = (try await policed.workload("web", "app=web"), try await policed.workload("other", "app=other"))
    let pair = try policed.pair()
    let any = address.contains(":") ? "::" : "0.0.0.0"
    let server = try pair.right.run { try TestSocket.listening(address, 9100) }
    let datagrams = try pair.right.run { try TestSocket.bound(address, 9101) }
    let here = try other.run(in: pair.left) {
      [try TestSocket.listening(any, 9100), try TestSocket.bound(any, 9101)]
    }
    let clients = try web.run(in: pair.left) {
      let clients = [try TestSocket.tcp(Family(of: address)), try TestSocket.udp(Family(of: address))]
      try clients[0].connect(address, 9100)
      try clients[1].send("elsewhere", to: address, 9101)
      return clients
    }
    _ = try server.accept()
    #expect(try datagrams.receive() == "elsewhere")
    withExtendedLifetime((here, clients)) {}
  }

  @Test(
    "what is refused elsewhere is EPERM at once, also beside an allowed listener", arguments: ["10.77.0.2", "fd77::2"])
  func refusedElsewhere(address: String) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=other", "tcp/9102, udp/9103"))
    let (web, other) = (try await policed.workload("web", "app=web"), try await policed.workload("other", "app=other"))
    let pair = try policed.pair()
    let here = try other.run(in: pair.left) {
      [try TestSocket.listening("::", 9102), try TestSocket.bound("::", 9103)]
    }
    let family = Family(of: address)
    #expect(try web.refusal(in: pair.left) { try TestSocket.tcp(family).connect(address, 9102) } == .refusedConnect)
    #expect(
      try web.refusal(in: pair.left) { try TestSocket.udp(family).send("x", to: address, 9103) } == .notPermitted)
    if family == .ipv4 {
      let mapped = try web.refusal(in: pair.left) { try TestSocket.tcp(.ipv6).connect(address, 9102) }
      #expect(mapped == .refusedConnect)
    }
    withExtendedLifetime(here) {}
  }

  @Test("a listener on any address is the destination of what goes to an address of its namespace", arguments: own)
  func here(address: String) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9104, udp/9105"))
    let (web, db) = (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
    let pair = try policed.pair()
    let servers = try db.run(in: pair.left) {
      [
        try TestSocket.listening("::", 9104), try TestSocket.bound("::", 9105), try TestSocket.listening("::", 9106),
        try TestSocket.bound("::", 9107),
      ]
    }
    let family = Family(of: address)
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp(family)
      try client.connect(address, 9104)
      try TestSocket.udp(family).send("here", to: address, 9105)
      return client
    }
    _ = try servers[0].accept()
    #expect(try servers[1].receive() == "here")
    #expect(try web.refusal(in: pair.left) { try TestSocket.tcp(family).connect(address, 9106) } == .refusedConnect)
    #expect(
      try web.refusal(in: pair.left) { try TestSocket.udp(family).send("x", to: address, 9107) } == .notPermitted)
    _ = client
  }

  @Test("sockets that are bound to a device are found, allowed and refused", arguments: own)
  func boundToDevice(address: String) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9110, udp/9111"))
    let (web, db) = (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
    let pair = try policed.pair()
    let family = Family(of: address)
    let servers = try db.run(in: pair.left) {
      let datagrams = try [UInt16(9111), 9113].map { port in
        let socket = try Self.onDevice(TestSocket.udp(family))
        try socket.bind(address, port)
        return socket
      }
      return [try Self.listeningOnDevice(address, 9110), try Self.listeningOnDevice(address, 9112)] + datagrams
    }
    let clients = try web.run(in: pair.left) {
      // One client of no device, one of the same.
      let clients = [try TestSocket.tcp(family), try Self.onDevice(TestSocket.tcp(family))]
      for client in clients { try client.connect(address, 9110) }
      try TestSocket.udp(family).send("free", to: address, 9111)
      return clients
    }
    for client in clients {
      let server = try servers[0].accept()
      try client.send("bound")
      #expect(try server.receive() == "bound")
    }
    #expect(try servers[2].receive() == "free")
    try web.run(in: pair.left) { _ = try Self.onDevice(TestSocket.udp(family)).send("bound", to: address, 9111) }
    #expect(try servers[2].receive() == "bound")
    #expect(
      try web.refusal(in: pair.left) { try TestSocket.udp(family).send("x", to: address, 9113) } == .notPermitted)
    try web.run(in: pair.left) {
      let client = try TestSocket.tcp(family)
      try? client.startConnect(address, 9112)
      #expect(throws: Errno.self) { try client.finishConnect(within: 300) }
    }
    #expect(!servers[1].isReadable)
  }

  @Test("a listener on a device is not reached past policy by being outside of every workload", arguments: own)
  func hostOnDevice(address: String) async throws {
    try await policed.apply(Policed.outgoing("app=web", to: "app=db", "any"))
    let web = try await policed.workload("web", "app=web")
    let pair = try policed.pair()
    let family = Family(of: address)
    let (listener, datagrams) = try pair.left.run {
      let socket = try Self.onDevice(TestSocket.udp(family))
      try socket.bind(address, 9121)
      return (try Self.listeningOnDevice(address, 9120), socket)
    }
    try web.run(in: pair.left) {
      let client = try TestSocket.tcp(family)
      try? client.startConnect(address, 9120)
      #expect(throws: Errno.self) { try client.finishConnect(within: 300) }
    }
    #expect(
      try web.refusal(in: pair.left) { try TestSocket.udp(family).send("x", to: address, 9121) } == .notPermitted)
    #expect(!listener.isReadable)
    #expect(!datagrams.isReadable)
  }
}
