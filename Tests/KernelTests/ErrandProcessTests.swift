// A process that does errands in another cgroup: where it is, whose its sockets are, and how it ends.
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Errands", .requires(.root, .cgroups, .networkNamespaces))
struct ErrandProcessTests {
  @Test("it is in its cgroup, its sockets belong there and work in its namespace, and it holds nothing of its parent's")
  func place() throws {
    try withSandbox { sandbox in
      let (first, second) = (try sandbox.makeCgroup("first"), try sandbox.makeCgroup("second"))
      let namespace = try sandbox.makeNamespace()
      let process = try ErrandProcess.start(in: first)
      #expect(try first.processes() == [process.id])
      try process.enter(namespace)
      let made = try process.socket(family: AF_INET, type: Int32(SOCK_DGRAM.rawValue), protocol: 0)
      let socket = TestSocket(adopting: made.raw)
      try socket.bind("127.0.0.1", 0)
      try process.move(to: second)
      #expect(try second.processes() == [process.id])
      let listed = try SocketDiagnostics.open(in: namespace).list().first { $0.local.port == (try? socket.localPort) }
      #expect(listed?.cgroup == first.id)
      // Its channel and the socket, nothing of this process's.
      #expect(try directoryNames("/proc/\(process.id)/fd").count == 2)
    }
  }

  @Test("errors come back as they are, and it ends with the last who holds it")
  func end() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("one")
      var process: ErrandProcess? = try ErrandProcess.start(in: cgroup)
      #expect(throws: Errno.addressFamilyNotSupported) {
        try process?.socket(family: 77, type: Int32(SOCK_DGRAM.rawValue), protocol: 0)
      }
      let made = try #require(try process?.socket(family: AF_INET, type: Int32(SOCK_STREAM.rawValue), protocol: 0))
      let socket = TestSocket(adopting: made.raw)
      #expect(throws: Errno.brokenPipe) { try process?.send(made.handle, [1]) }
      process = nil
      #expect(try cgroup.processes().isEmpty)
      // What it made lives on here.
      try socket.bind("127.0.0.1", 0)
    }
  }
}
