// A large Kubernetes cluster as text, as somebody would have exported it: a file for every namespace.

internal import Benchmark
internal import Enforcement
internal import Policy

/// Namespaces, pods and NetworkPolicies from a seed; the same seed gives the same bytes.
///
/// A namespace has applications of ten pods each, which differ in a version that no policy asks for. Each application
/// has policies in turn: who may come in (by application, by team's namespaces, by block, from everywhere inside) and
/// where it may go; one in four asks for a port by its name. One application of each namespace has policies and no pods
/// yet.
struct SyntheticCluster: Sendable {
  let policies: Int
  let pods: Int
  let namespaces: Int
  /// How many rules in a hundred have a peer that means every pod of the cluster.
  let broad: Int
  let seed: UInt64

  private static let replicas = 10
  private static let teams = 20

  private var applications: Int { max(1, pods / namespaces / Self.replicas) }

  /// One file for each namespace.
  func files() -> [PolicySource] {
    var numbers = SeededNumbers(seed: seed)
    return (0..<namespaces).map { index in
      var text =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n\(index), labels: {team: t\(index % Self.teams)}}\n"
      for pod in 0..<share(of: pods, index) { text += document(pod, index) }
      for policy in 0..<share(of: policies, index) { text += document(policy, index, &numbers) }
      return PolicySource(name: "n\(index).yaml", bytes: Array(text.utf8))
    }
  }

  /// The manifest of one more pod of an application; `applications` is the one without pods.
  func manifest(name: String, namespace: Int, application: Int) -> PolicySource {
    let labels = "{app: a\(application), tier: p\(application % 3), version: v0}"
    let text =
      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: \(name), namespace: n\(namespace), labels: \(labels)}\n"
      + "spec: {containers: [{ports: [{name: http, containerPort: \(8080 + application % 2)}]}]}\n"
    return PolicySource(name: "z-\(name).yaml", bytes: Array(text.utf8))
  }

  /// The number of the application that has policies and no pods.
  var awaited: Int { applications }

  private func share(of total: Int, _ index: Int) -> Int {
    total * (index + 1) / namespaces - total * index / namespaces
  }

  private func document(_ pod: Int, _ namespace: Int) -> String {
    let (application, replica) = (pod / Self.replicas % applications, pod % Self.replicas)
    let number = pods * namespace / namespaces + pod + 1
    let labels =
      "{app: a\(application), tier: p\(application % 3), version: v\(replica % 4), pod-template-hash: h\(pod)}"
    return """
      ---
      apiVersion: v1
      kind: Pod
      metadata: {name: a\(application)-\(pod), namespace: n\(namespace), labels: \(labels)}
      spec: {containers: [{ports: [{name: http, containerPort: \(8080 + application % 2)}]}]}
      status: {podIP: 10.\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)}

      """
  }

  private func document(_ policy: Int, _ namespace: Int, _ numbers: inout SeededNumbers) -> String {
    let application = policy % (applications + 1)
    let isIngress = policy / (applications + 1) % 2 == 0
    let (list, field) = isIngress ? ("ingress", "from") : ("egress", "to")
    let rules = (0..<2).map { _ in
      "{\(field): [\(peer(&numbers))], ports: [{protocol: TCP, port: \(port(&numbers))}]}"
    }
    let type = isIngress ? "Ingress" : "Egress"
    return """
      ---
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: p\(policy), namespace: n\(namespace)}
      spec:
        podSelector: {matchLabels: {app: a\(application)}}
        policyTypes: [\(type)]
        \(list): [\(rules.joined(separator: ", "))]

      """
  }

  private func peer(_ numbers: inout SeededNumbers) -> String {
    if numbers.percent(broad) { return "{namespaceSelector: {}}" }
    switch numbers.below(20) {
    case 0: return "{ipBlock: {cidr: 192.0.\(numbers.below(200)).0/24}}"
    case 1:
      let team = "{matchLabels: {team: t\(numbers.below(Self.teams))}}"
      return "{namespaceSelector: \(team), podSelector: {matchLabels: {tier: p\(numbers.below(3))}}}"
    case 2:
      return "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: n\(numbers.below(namespaces))}}}"
    default: return "{podSelector: {matchLabels: {app: a\(numbers.below(applications + 1))}}}"
    }
  }

  private func port(_ numbers: inout SeededNumbers) -> String {
    numbers.percent(25) ? "http" : ["80", "443", "5432", "6379", "9090"][numbers.below(5)]
  }
}
