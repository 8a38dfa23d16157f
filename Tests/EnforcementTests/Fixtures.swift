// Policies and workloads that the tests of this target share.

import Kernel
import Logging
import Policy

@testable import Enforcement

/// A quiet log.
let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A workload in a cgroup of the given number, at level 2.
func workload(
  _ cgroup: UInt64, _ labels: String, level: Int = 2, observe: Bool = false, addresses: [String] = []
) throws -> WorkloadInstance {
  WorkloadInstance(
    cgroup: CgroupID(rawValue: cgroup), path: "/test/\(cgroup)", level: level, labels: try LabelSet(parsing: labels),
    observe: observe, source: "test", addresses: try addresses.map { text in try IPAddress(parsing: text) })
}

/// A policy document with one rule: `from` may reach `app=api` on a TCP port.
func document(port: Int, from: String = "app=web") -> PolicySource {
  let text = """
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: api}
    spec:
      subject: app=api
      incoming:
        - {name: in, action: allow, peers: [{selector: "\(from)"}, {network: corp}], ports: [tcp/\(port)]}
    ---
    apiVersion: sallyport/v1
    kind: ExternalNetwork
    metadata: {name: corp}
    spec: {cidrs: [10.0.0.0/8]}
    """
  return PolicySource(name: "api.yaml", bytes: Array(text.utf8))
}

/// The policy of documents.
func policy(_ sources: PolicySource...) throws -> PolicySet {
  try PolicyParser.parse(files: sources.map { (name: $0.name, bytes: $0.bytes) }).policy
}

/// An enforcer over a model that has a policy and two workloads in force.
func enforcing(
  on model: ModelDatapath = ModelDatapath(), state: StateDirectory? = nil
) async throws -> (Enforcer, ModelDatapath) {
  let enforcer = Enforcer(datapath: model, state: state, cgroup: "/test", logger: quiet)
  try await enforcer.start()
  _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
  _ = try await enforcer.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
  model.clearLog()
  return (enforcer, model)
}

extension ModelDatapath {
  /// What the incoming side of a workload says to a TCP flow: nil = no such identity.
  func incoming(_ subject: UInt64, from peer: UInt64, port: UInt16) -> Action? {
    let rows = workloads
    guard let subject = rows[CgroupID(rawValue: subject)], let peer = rows[CgroupID(rawValue: peer)] else { return nil }
    guard
      let decision = decision(
        .incoming, subject: subject.identity, peer: peer.identity, protocol: .tcp, port: port)
    else { return nil }
    return decision.cell?.action ?? decision.default
  }
}
