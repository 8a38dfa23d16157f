// The coverage statement: every class of traffic tried on each datapath, against what this kernel is known to do.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import TestSupport
internal import Testing

@Suite("Coverage", .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces))
struct CoverageTests {
  @Test("every class of traffic is covered as the statement of this kernel says")
  func classes() async throws {
    let statement = try await withSandbox { sandbox in
      try await CoverageProbe.run(
        on: .cgroup,
        at: CoverageProbe.Site(parent: sandbox.cgroup, state: StateDirectory("/tmp/sallyport-test-coverage")))
    }
    for line in statement.lines { print(line.traffic.rawValue, line.result.rawValue, line.seen, line.why) }
    print(statement.milliseconds)
  }
}
