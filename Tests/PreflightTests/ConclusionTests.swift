// Does the conclusion say which datapath there is, and does the exit code follow what is needed?
import BPF
import Preflight
import Testing

@Suite struct ConclusionTests {
  private func row(_ name: String, _ outcome: Outcome) throws -> Survey.Row {
    var finding = Finding.pass("x", how: "y")
    finding.outcome = outcome
    return Survey.Row(check: try Check.named(name), finding: finding)
  }

  private func survey(_ outcomes: [(String, Outcome)], for purpose: Purpose? = nil) throws -> Survey {
    var rows = try ["bpf.programs-cgroup", "bpf.programs-netfilter", "capability.bpf"].map { try row($0, .pass) }
    for (name, outcome) in outcomes {
      rows.removeAll { $0.check.name == name }
      rows.append(try row(name, outcome))
    }
    return Survey(rows: rows, purpose: purpose)
  }

  @Test func whatTheOtherDatapathLacksIsARemark() throws {
    let both = try survey([])
    #expect(both.datapath == .cgroup && both.outcome == .pass)
    let noNetfilter = try survey([("module.xt_bpf", .fail)])
    #expect(noNetfilter.datapath == .cgroup && noNetfilter.outcome == .warn)
    #expect(noNetfilter.readiness(for: .netfilter) == .blocked)
    let noCgroup = try survey([("bpf.programs-cgroup", .fail)])
    #expect(noCgroup.datapath == .netfilter && noCgroup.outcome == .warn)
    #expect(noCgroup.summary.contains("cgroup lacks bpf.programs-cgroup"))
    let neither = try survey([("bpf.programs-cgroup", .fail), ("module.xt_bpf", .fail)])
    #expect(neither.datapath == nil && neither.outcome == .fail)
  }

  @Test func withAPurposeWhatItNeedsDecides() throws {
    #expect(try survey([("module.xt_bpf", .fail)], for: .netfilter).outcome == .fail)
    #expect(try survey([("bpf.programs-cgroup", .fail)], for: .netfilter).outcome == .warn)
  }

  @Test func whatCouldNotBeLookedAtIsNoDatapath() throws {
    let unclear = try survey([("bpf.programs-cgroup", .unknown)])
    #expect(unclear.datapath == nil && unclear.outcome == .unknown)
    #expect(unclear.summary.contains("whether cgroup works could not be tried"))
  }

  @Test func everyAgentNeedsItsCapabilities() throws {
    let without = try survey([("capability.bpf", .fail)])
    #expect(without.outcome == .fail && without.summary.hasPrefix("in the way: capability.bpf; "), "\(without.summary)")
    #expect(without.readiness(for: .cgroup) == .blocked)
  }

  @Test func aPublishedRequirementThatNobodyNeedsIsARemark() throws {
    #expect(try survey([("module.cls_cgroup", .warn)]).outcome == .warn)
    #expect(try survey([("cluster.cni", .fail)]).outcome == .fail)
    #expect(try survey([("cluster.cni", .notApplicable)]).outcome == .pass)
  }

  @Test func theNamesOfChecksAreTheirOwn() {
    #expect(Set(Check.all.map(\.name)).count == Check.all.count)
    for check in Check.all {
      #expect(!check.requirement.isEmpty && !check.method.isEmpty && !check.purpose.isEmpty && !check.remedy.isEmpty)
    }
  }
}

@Suite struct NeighbourCheckTests {
  private func find(_ entries: [CgroupSurvey.Entry], isComplete: Bool = true) throws -> Finding {
    var results = ProbeResults()
    results.cgroupPrograms = .seen(CgroupSurvey(entries: entries, looked: 12, isComplete: isComplete))
    return try Tree().find("neighbour.cgroup-programs", results)
  }

  @Test func ownersAreNamedAndExclusionIsAFailure() throws {
    let beside = CgroupSurvey.Entry(
      cgroup: "/a", hook: "cgroup_inet_ingress", mode: .multi, programs: ["sd_fw_ingress"])
    let cilium = CgroupSurvey.Entry(
      cgroup: "/", hook: "cgroup_inet4_connect", mode: .multi, programs: ["cil_sock4_connect"])
    let pass = try find([beside, cilium])
    #expect(pass.outcome == .pass && pass.found.hasPrefix("Cilium 1, systemd 1 programs"), "\(pass)")
    let alone = CgroupSurvey.Entry(cgroup: "/b", hook: "cgroup_inet_egress", mode: .exclusive, programs: ["mine"])
    let fail = try find([beside, alone])
    #expect(fail.outcome == .fail && fail.remedy.contains("BPF_F_ALLOW_MULTI") && fail.found.contains("/b"), "\(fail)")
    let yielding = CgroupSurvey.Entry(cgroup: "/b", hook: "cgroup_inet_egress", mode: .overridable, programs: ["mine"])
    #expect(try find([yielding]).outcome == .warn)
    // What was not looked at may exclude others.
    #expect(try find([beside], isComplete: false).outcome == .unknown)
    #expect(try find([beside, alone], isComplete: false).outcome == .fail)
  }
}
