// Does the kernel remember which cgroup made a socket, and is an agent refused that could not police anybody?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Whose sockets are", .serialized, .requires(.root, .cgroups, .networkNamespaces, .product))
struct SocketOwnershipTests {
  @Test("A socket belongs to the cgroup in which it was made, and the trial leaves nothing")
  func trial() throws {
    try withSandbox { sandbox in
      try SocketOwnership.check(below: sandbox.cgroup)
      #expect(try sandbox.cgroup.childNames().isEmpty)
    }
  }

  @Test("A socket that belongs to another cgroup than its maker's is why the agent refuses, with the remedy")
  func refusal() throws {
    try withSandbox { sandbox in
      let other = try sandbox.makeCgroup("other")
      let error = #expect(throws: KernelError.self) {
        try SocketOwnership.check(below: sandbox.cgroup, madeIn: other)
      }
      #expect(error?.remedy?.contains("net_cls or net_prio is in use") == true)
      #expect(try sandbox.cgroup.childNames() == ["other"])
    }
  }

  /// Using net_cls cannot be undone: only where the machine is the test's own.
  private static var mayUseClasses: Bool { unsafe getenv("SALLYPORT_MAY_USE_NET_CLS") != nil }

  @Test("Where net_cls takes a socket's cgroup away the agent refuses with the remedy, and else it does not care")
  func classes() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      let agent = try bench.startAgent(AgentBench.defaults)
      if Self.mayUseClasses { try Self.useClasses() }
      let isTaken = (try? SocketOwnership.check(below: sandbox.cgroup)) == nil
      if isTaken {
        // The one that runs comes to know within a minute; another one does not start.
        try eventually("status says so: \(bench.log)", seconds: 300) {
          try bench.ask("status").output.contains("net_cls or net_prio is in use")
        }
      }
      try bench.ask("detach")
      #expect(try agent.wait() == 0)
      let location = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path)).string
      let result = try bench.run([
        "run", "--cgroup", location, "--policy", "\(bench.directory)/none.yaml", "--state", bench.state,
      ])
      #expect(result.status != 0)
      // Without a policy no agent starts: what it says first tells how far it came.
      #expect(result.text.contains("net_cls or net_prio is in use") == isTaken, "\(result.text)")
      #expect(try bench.enforced.childNames().isEmpty)
    }
  }

  /// Gives a cgroup a class, as who shapes traffic does.
  private static func useClasses() throws {
    guard case .v1(let older, _) = try CgroupLayout.current(),
      let place = older.first(where: { $0.names.contains("net_cls") })?.location(of: "/sallyport-test-class")
    else { return }
    try makeDirectory(place.string, mayExist: true)
    defer { try? removeDirectory(place.string) }
    try writeKernelFile(place.appending("net_cls.classid"), "0x100001")
  }
}
