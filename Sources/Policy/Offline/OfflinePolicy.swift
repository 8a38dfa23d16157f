// What a policy says without a kernel: its tables, and names for both ends.

/// A question that cannot be answered.
package struct QuestionError: Error, Equatable, CustomStringConvertible {
  /// What was asked about.
  package let subject: String
  /// What is wrong with it.
  package let problem: String
  /// What to ask instead.
  package let remedy: String

  package init(_ subject: String, _ problem: String, _ remedy: String) {
    self.subject = subject
    self.problem = problem
    self.remedy = remedy
  }

  /// One line.
  package var description: String { "\(subject.shown) \(problem); \(remedy)" }
}

/// A policy, compiled for the pods of its manifests, that answers questions.
///
/// Answers come from the tables that a kernel would hold, by the walk that a kernel makes.
package struct OfflinePolicy: Sendable {
  /// One end of a flow.
  package struct End: Sendable {
    let identity: IdentityNumber
    /// How the specification sees it, for ends whose classes the tables do not have; nil for all others.
    let endpoint: Endpoint?
    /// Which pod it is, by its place in `PolicySet.pods`; nil for all others.
    package let pod: Int?
    /// Whether it has an enforcer: an address has none.
    package let isPoliced: Bool
    let labels: LabelSet
  }

  /// What one end says.
  package struct Decision: Sendable, Equatable {
    /// What happens.
    package let action: Action
    /// The number of the rule that decides, 0 = the default.
    package let rule: UInt32
    /// Whether both ends are one pod.
    package let isLocal: Bool
  }

  /// The policy.
  package let policy: PolicySet
  /// All rules; the rule of number n is at n - 1.
  package var rules: [RuleReference] { compiled.tables.rules }
  /// How many rows the tables have.
  package var cellCount: Int { compiled.tables.cells.count }
  private let compiled: Compiled
  private var tables: Tables
  private var numbers: [LabelSet: IdentityNumber] = [:]
  private var pods: [String: Int] = [:]
  private var owners: [IPAddress: Int] = [:]
  /// Workload documents by name, and those whose addresses they are.
  private var documents: [String: LabelSet] = [:]
  private var declared: [IPAddress: LabelSet] = [:]
  private var next: UInt32

  /// Compiles a policy.
  package init(_ policy: PolicySet) throws(CompileError) {
    self.policy = policy
    next = IdentityNumber.firstAllotted.rawValue
    var identities: [(key: IdentityNumber, value: LabelSet)] = []
    for (index, pod) in policy.pods.enumerated() {
      pods[pod.title] = index
      for address in pod.addresses where pod.labels[PodLabel.hostNetwork] == nil { owners[address] = index }
      guard numbers[pod.labels] == nil else { continue }
      let number = IdentityNumber(rawValue: next)
      numbers[pod.labels] = number
      identities.append((number, pod.labels))
      next += 1
    }
    for rule in policy.workloads {
      documents[rule.name] = rule.labels
      for address in rule.addresses { declared[address] = rule.labels }
    }
    compiled = try Compiler.compile(policy: policy, sorted: identities)
    tables = compiled.tables
  }

  /// Selectors that match no pod of the manifests.
  package var warnings: [PolicyError] { compiled.warnings }

  // MARK: Ends

  /// Reads `NAMESPACE/POD`, the name of a Workload document, labels such as `app=web,tier=a`, an address, `host`, `world` or
  /// `unknown`.
  package mutating func end(_ text: String) throws(QuestionError) -> End {
    switch text {
    case "host": return End(identity: .host, endpoint: nil, pod: nil, isPoliced: true, labels: .host)
    case "world": return End(identity: .world, endpoint: nil, pod: nil, isPoliced: false, labels: .world)
    case "unknown": return End(identity: .unknown, endpoint: nil, pod: nil, isPoliced: false, labels: .unknown)
    default: break
    }
    if let index = pods[text] { return end(ofPod: index) }
    if let address = try? IPAddress(parsing: text) {
      if let owner = owners[address] { return end(ofPod: owner) }
      if let labels = declared[address] { return end(of: labels) }
      return End(identity: tables.identity(of: address), endpoint: nil, pod: nil, isPoliced: false, labels: .empty)
    }
    if let labels = documents[text] { return end(of: labels) }
    guard text.contains("=") else { throw unknown(text) }
    do throws(LabelError) {
      return end(of: try LabelSet(parsing: text))
    } catch {
      throw QuestionError(text, "are not labels: \(error)", "write them like app=web,tier=a")
    }
  }

  /// What is wrong with an end that no document tells of.
  private func unknown(_ text: String) -> QuestionError {
    let forms = "write NAMESPACE/POD, a Workload document's name, app=web,tier=a, 10.0.0.1, host, world or unknown"
    if text.hasPrefix("/") || Int32(text) != nil || text.hasSuffix(".service") || text.hasSuffix(".slice") {
      return QuestionError(
        text, "is of this host, and documents tell of none: processes, units and cgroups",
        "ask `sallyport why`, which looks at the host; or \(forms)")
    }
    let near = Spelling.nearest(to: text, in: Set(documents.keys).union(pods.keys).sorted())
    return QuestionError(
      text, "is not a pod or workload of the documents, an address or labels",
      near.map { "did you mean \($0)?" } ?? forms)
  }

  /// A pod by its place in `PolicySet.pods`.
  package func end(ofPod index: Int) -> End {
    let labels = policy.pods[index].labels
    return End(
      identity: numbers[labels] ?? .unknown, endpoint: nil, pod: index, isPoliced: true, labels: labels)
  }

  /// Something with these labels; it is in the tables from now on, if they have its classes.
  private mutating func end(of labels: LabelSet) -> End {
    if let known = numbers[labels] {
      return End(identity: known, endpoint: nil, pod: nil, isPoliced: true, labels: labels)
    }
    guard next < IdentityNumber.firstExternal.rawValue, let classes = compiled.classes(for: labels) else {
      return End(identity: .unknown, endpoint: .workload(labels), pod: nil, isPoliced: true, labels: labels)
    }
    let number = IdentityNumber(rawValue: next)
    next += 1
    numbers[labels] = number
    tables.classes[number] = classes
    return End(identity: number, endpoint: nil, pod: nil, isPoliced: true, labels: labels)
  }

  /// Reads `tcp/80`, `udp/53`, `icmp/8`, or the name of a container port of the destination: `http`, `tcp/http`.
  package func port(
    _ text: String, of destination: End
  ) throws(QuestionError) -> (protocol: IPProtocol, number: UInt16) {
    if let spec = try? PortSpec(parsing: text) {
      guard case .ports(let proto, let range) = spec, range.first == range.last else {
        throw QuestionError(text, "is not one port", "write tcp/80, udp/53 or icmp/8")
      }
      return (proto, range.first)
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    let protocols: [IPProtocol] =
      parts.count == 2 ? [IPProtocol(named: String(parts[0]))].compactMap(\.self) : [.tcp, .udp, .sctp]
    let name = String(parts.last ?? "")
    var found: [(protocol: IPProtocol, number: UInt16)] = []
    for proto in protocols {
      if let number = destination.labels[PodLabel.port(proto, name)].flatMap({ UInt16($0) }) {
        found.append((proto, number))
      }
    }
    guard let only = found.first, found.count == 1 else {
      throw QuestionError(
        text, found.isEmpty ? "is not a port of the destination" : "is a port of several protocols there",
        "write tcp/80, or the name of a container port like http or tcp/http")
    }
    return only
  }

  // MARK: Answers

  /// What each end says to a flow; nil for an end without an enforcer.
  package func decisions(
    from source: End, to destination: End, protocol proto: IPProtocol, port: UInt16
  ) -> (outgoing: Decision?, incoming: Decision?) {
    if let pod = source.pod, pod == destination.pod {
      let local = Decision(action: .allow, rule: 0, isLocal: true)
      return (local, local)
    }
    return (
      source.isPoliced ? decision(.outgoing, source, destination, proto, port) : nil,
      destination.isPoliced ? decision(.incoming, destination, source, proto, port) : nil
    )
  }

  private func decision(
    _ direction: Direction, _ subject: End, _ peer: End, _ proto: IPProtocol, _ port: UInt16
  ) -> Decision {
    if subject.endpoint == nil, peer.endpoint == nil {
      let (action, rule) = tables.decision(
        direction, subject: subject.identity, peer: peer.identity, protocol: proto, port: port)
      return Decision(action: action, rule: rule, isLocal: false)
    }
    let verdict = policy.verdict(
      for: Flow(
        direction: direction, subject: endpoint(subject), peer: endpoint(peer), protocol: proto, port: port))
    guard case .rule(let reference) = verdict.decidedBy, let index = rules.firstIndex(of: reference) else {
      return Decision(action: verdict.action, rule: 0, isLocal: false)
    }
    return Decision(action: verdict.action, rule: UInt32(index + 1), isLocal: false)
  }

  private func endpoint(_ end: End) -> Endpoint {
    if let endpoint = end.endpoint { return endpoint }
    switch end.identity {
    case .host: return .host()
    case .world: return .world
    case .unknown: return .unknown
    default:
      return end.isPoliced ? .workload(end.labels) : .external(tables.externals[end.identity] ?? [])
    }
  }
}
