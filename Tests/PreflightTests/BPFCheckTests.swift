// What a kernel lacks is a fault only where programs were seen not to load without it.
import BPF
import Enforcement
import Testing

@testable import Preflight

@Suite struct BPFCheckTests {
  private func helpers(_ programs: Look<[ObjectTrial]>) throws -> Finding {
    var results = ProbeResults()
    let lacking = FeatureSupport.unsupported(reason: "unknown func")
    results.features = .seen(
      FeatureTrials(maps: [], helpers: [.init(name: "bpf_loop for socket_filter", support: lacking)]))
    results.programs = programs
    return try Check.named("bpf.helpers").find(in: HostView(root: "/nowhere"), results)
  }

  @Test func aMissingHelperIsJudgedByWhatLoadsWithoutIt() throws {
    #expect(try helpers(.unseen("it took longer than 8 s")).outcome == .unknown)
    #expect(try helpers(.seen([])).outcome == .fail)
  }

  private func programs(_ refusal: String?, in tree: Tree) throws -> Finding {
    var results = ProbeResults()
    let program = ObjectTrial.Program(name: "sp_egress", isCompiled: true, refusal: refusal)
    results.programs = .seen([ObjectTrial(object: "cgroup", programs: [program])])
    // What nobody could find out is nothing that the kernel lacks.
    let unclear = FeatureTrials.Trial(name: "hash", support: .inconclusive(reason: "Operation not permitted"))
    let lacking = FeatureTrials.Trial(name: "ringbuf", support: .unsupported(reason: "no"))
    results.features = .seen(FeatureTrials(maps: [unclear, lacking], helpers: []))
    return try tree.find("bpf.programs-cgroup", results)
  }

  @Test func aProgramThatIsRefusedIsAFailureWhereItCouldLoad() throws {
    let refusal = "failed to find valid kernel BTF"
    let finding = try programs(refusal, in: Tree())
    #expect(finding.outcome == .fail && finding.remedy == "upgrade to Debian 11 or later", "\(finding)")
    #expect(finding.meaning.hasSuffix("which lacks ringbuf"), "\(finding)")
    #expect(try programs(nil, in: Tree()).outcome == .pass)
    // Without /sys nobody finds the kernel's types: that is no finding about the kernel.
    let hidden = try programs(refusal, in: Tree([:], on: Tree.whole.filter { !$0.key.hasPrefix("/sys") }))
    #expect(hidden.outcome == .unknown && hidden.remedy.contains("mount -t sysfs"), "\(hidden)")
  }
}
