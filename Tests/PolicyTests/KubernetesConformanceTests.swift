// Every feature of the Kubernetes policies, one case each, against answers written by hand.

import Policy
import TestSupport
import Testing

@Suite struct KubernetesConformanceTests {
  @Test(
    "every cell of a case is right by rules, by tables and by the offline answers",
    arguments: KubernetesCase.networkPolicies + KubernetesCase.clusterPolicies)
  func cells(of each: KubernetesCase) throws {
    for families in KubernetesCluster.Families.allCases {
      let cluster = KubernetesCase.cluster(families)
      let model = try KubernetesModel(cluster, policies: each.yaml)
      let pods = Dictionary(uniqueKeysWithValues: cluster.pods.map { ($0.title, KubernetesCluster.End.pod($0)) })
      var wrong: [String] = []
      for probe in KubernetesCase.probes {
        let (from, to) = ("\(probe.from.namespace)/\(probe.from.pod)", "\(probe.to.namespace)/\(probe.to.pod)")
        guard let source = pods[from], let destination = pods[to] else { throw Missing() }
        let answers = [
          model.allows(from: source, to: destination, probe.proto, probe.port),
          model.tablesAllow(from: source, to: destination, probe.proto, probe.port),
          model.tablesAllow(from: source, to: destination, probe.proto, probe.port, areWide: true),
          try model.offlineAllows(from, to, "\(probe.proto.lowercased())/\(probe.port)"),
        ]
        if answers != Array(repeating: each.allows(probe), count: 4) {
          wrong.append("\(from) to \(to) \(probe.proto)/\(probe.port): \(answers)")
        }
      }
      #expect(
        wrong.isEmpty, "\(families): \(wrong.count) of \(KubernetesCase.probes.count), first \(wrong.first ?? "")")
    }
  }

  private struct Missing: Error {}
}
