// Does the kernel remember which cgroup made a socket, and is an agent refused that could not police anybody?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Whose sockets are", .serialized, .requires(.root, .cgroups, .networkNamespaces, .productIsBuilt))
struct SocketOwnershipTests {
  @Test("A socket belongs to the cgroup in which it was made, and the trial leaves nothing")
  func trial() throws {
    try withSandbox { sandbox in
      try SocketOwnership.check(below: sandbox.cgroup)
      #expect(try sandbox.cgroup.childNames().isEmpty)
    }
  }

  /// Using net_cls cannot be undone: only where the machine is the test's own.
  private static var mayUseClasses: Bool { unsafe getenv("SALLYPORT_MAY_USE_NET_CLS") != nil }

  @Test("Where net_cls takes a socket's cgroup away the agent refuses with the remedy, and else it does not care")
  func classes() throws {
    try withSandbox { sandbox in
      let isTaken = try Self.mayUseClasses && Self.useClasses() && Self.isBefore515()
      let bench = try AgentBench(sandbox)
      let policy = try bench.write("policy.yaml", AgentBench.defaults)
      if isTaken {
        let location = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path)).string
        let result = try bench.run(["run", "--cgroup", location, "--policy", policy, "--state", bench.state])
        #expect(result.status != 0)
        #expect(result.text.contains("net_cls"), "\(result.text)")
        #expect(!isThere(bench.state + "/snapshot.json"))
      } else {
        let agent = try bench.startAgent(AgentBench.defaults)
        try bench.ask("detach")
        #expect(try agent.wait() == 0)
      }
      #expect(try bench.enforced.childNames().isEmpty)
    }
  }

  /// Gives a cgroup a class, as who shapes traffic does; true if there are classes.
  private static func useClasses() throws -> Bool {
    guard case .v1(let older, _) = try CgroupLayout.current(),
      let place = older.first(where: { $0.names.contains("net_cls") })?.location(of: "/sallyport-test-class")
    else { return false }
    try makeDirectory(place.string, mayExist: true)
    defer { try? removeDirectory(place.string) }
    try writeKernelFile(place.appending("net_cls.classid"), "0x100001")
    return true
  }

  /// The kernels of the matrix are Debian's, which carry nothing back of this.
  private static func isBefore515() throws -> Bool {
    let release = try readKernelFile("/proc/sys/kernel/osrelease").split(separator: ".").prefix(2).compactMap {
      Int($0)
    }
    return release.lexicographicallyPrecedes([5, 15])
  }
}
