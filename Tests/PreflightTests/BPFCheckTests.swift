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
}
