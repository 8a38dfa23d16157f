// What a policy says of workloads that are not here: said before it is applied, and as long as it is so.
import Kernel
import TestSupport
import Testing

@Suite("What matches nothing", .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product))
struct UnmatchedTests {
  private static let policy =
    AgentBench.defaults + AgentBench.workload("web", "app: web", match: "cgroups: [\"/*/enforced/web\"]")
    + AgentBench.workload("late", "app: late", match: "cgroups: [\"/*/enforced/late\"]") + """
      ---
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: web}
      spec:
        subject: app=web
        incoming:
        - {action: allow, peers: [{selector: app=late}, {selector: app=web}], ports: [tcp/80]}

      """

  @Test("status and check --live name selectors and workload documents that match nothing, until something does")
  func unmatched() throws {
    try withAgent { _ in
      Self.policy
    } body: { bench in
      _ = try bench.sandbox.makeCgroup("enforced/web")
      try bench.workloads("web is there") { $0.count == 1 }
      let before = try bench.ask("status").output
      #expect(before.contains("\"app=late\" matches no current workload"), "\(before)")
      #expect(before.contains("matches no current cgroup, so that \"late\" labels nothing"), "\(before)")
      #expect(!before.contains("\"app=web\" matches no"), "\(before)")

      // Nothing is changed by asking.
      let generation = try bench.status().generation
      let other = try bench.write("other.yaml", Self.policy.replacing("subject: app=web", with: "subject: app=wbe"))
      let checked = try bench.run(["policy", "check", "--live", "--state", bench.state, other])
      #expect(
        checked.status == 0 && checked.text.contains("\"app=wbe\" matches no current workload"), "\(checked.text)")
      let strict = try bench.run(["policy", "check", "--live", "--strict", "--state", bench.state, other])
      #expect(strict.status == 1, "\(strict.text)")
      #expect(try bench.status().generation == generation)

      _ = try bench.sandbox.makeCgroup("enforced/late")
      try bench.workloads("both are there") { $0.count == 2 }
      let after = try bench.ask("status").output
      #expect(!after.contains("matches no"), "\(after)")
    }
  }
}
