// From the bytes of files to a checked policy, or to everything that is wrong with them.

/// Reads policy documents.
package enum PolicyParser {
  /// The largest file that is read, in bytes.
  ///
  /// Ten thousand pods as `kubectl get -A -o yaml` prints them are about 50 MiB.
  package static let maximumFileSize = 128 << 20

  /// The version that documents must say.
  package static let apiVersion = "sallyport/v1"

  /// Reads all files as one policy.
  ///
  /// Each may hold several YAML (or JSON) documents.
  ///
  /// - Throws: everything that is wrong with any of them; nothing is half read.
  package static func parse(files: [(name: String, bytes: [UInt8])]) throws(PolicyErrors) -> ParsedPolicy {
    var reader = PolicyReader()
    return try reader.parse(files: files)
  }
}

/// Reads policies one after the other, and of each only the files that changed.
///
/// Cheaper than `PolicyParser` for whoever follows a directory, and says the same.
package struct PolicyReader: Sendable {
  private var known: [String: (bytes: [UInt8], found: Collected)] = [:]
  /// The addresses of this host, by which it knows itself among the nodes of manifests.
  package var localAddresses: Set<IPAddress> = []

  /// Has read nothing yet.
  package init() {}

  /// Reads all files as one policy, as `PolicyParser.parse(files:)` does.
  ///
  /// - Throws: everything that is wrong with any of them; nothing is half read.
  package mutating func parse(files: [(name: String, bytes: [UInt8])]) throws(PolicyErrors) -> ParsedPolicy {
    var collected = Collected()
    var next: [String: (bytes: [UInt8], found: Collected)] = [:]
    for file in files {
      var found = Collected()
      if let before = known[file.name], before.bytes == file.bytes {
        found = before.found
      } else {
        found.read(file.name, file.bytes)
      }
      next[file.name] = (file.bytes, found)
      collected.add(found)
    }
    known = next
    let order = Dictionary(files.enumerated().map { ($1.name, $0) }, uniquingKeysWith: min)
    func sorted(_ errors: [PolicyError]) -> [PolicyError] {
      errors.sorted { (order[$0.file] ?? 0, $0.line, $0.column) < (order[$1.file] ?? 0, $1.line, $1.column) }
    }
    var errors: [PolicyError] = []
    do throws(PolicyErrors) {
      let policy = try collected.policy(localAddresses)
      errors = collected.reader.errors
      if errors.isEmpty { return ParsedPolicy(policy: policy, warnings: sorted(collected.reader.warnings)) }
    } catch {
      errors = collected.reader.errors
      // What a document that could not be read defines is not known: say nothing of who needs it.
      if collected.isComplete { errors += error.errors }
    }
    throw PolicyErrors(errors: sorted(errors), warnings: sorted(collected.reader.warnings))
  }
}

/// What the documents of one file say, or of several.
private struct Collected: Sendable {
  var reader = DocumentReader()
  var ruleSets: [RuleSet] = []
  var networks: [ExternalNetwork] = []
  var workloads: [WorkloadRule] = []
  var defaults: Defaults?
  var kubernetes = ManifestCollector()
  var podDefaultsAreGiven = false
  /// Whether every document became a tree.
  var isComplete = true

  /// Reads a file.
  mutating func read(_ name: String, _ bytes: [UInt8]) {
    if kubernetes.leavesOut(name, &reader) { return }
    var isEmpty = true
    let faults = YAMLReader.read(file: name, bytes: bytes) { part in
      isEmpty = false
      switch part {
      case .document(let node), .item(let node): read(node)
      }
    }
    reader.add(faults)
    if isEmpty, faults.isEmpty {
      reader.warn(
        SourceLocation(file: name, line: 1), "", "the file holds no documents", "remove it, or write what it is for")
    }
    if !faults.isEmpty { isComplete = false }
    if reader.nameTemplate(name, bytes) { isComplete = false }
  }

  /// Adds what another file says.
  mutating func add(_ other: Collected) {
    reader.add(other.reader)
    ruleSets += other.ruleSets
    networks += other.networks
    workloads += other.workloads
    if let more = other.defaults { add(more) }
    kubernetes.add(other.kubernetes, &reader)
    podDefaultsAreGiven = podDefaultsAreGiven || other.podDefaultsAreGiven
    isComplete = isComplete && other.isComplete
  }

  private mutating func add(_ more: Defaults) {
    if let first = defaults {
      reader.fail(more.source, "", "the defaults are already given at \(first.source)", "keep one of the documents")
    } else {
      defaults = more
    }
  }

  /// Everything as one policy; what is wrong between Kubernetes documents goes to the reader.
  mutating func policy(_ localAddresses: Set<IPAddress>) throws(PolicyErrors) -> PolicySet {
    kubernetes.summarise(&reader)
    let made = ManifestTranslator.translate(kubernetes.manifests, localAddresses: localAddresses, &reader)
    var defaults = defaults ?? Defaults()
    if !podDefaultsAreGiven {
      // Where Kubernetes is spoken, a pod that no policy selects may talk to everybody.
      defaults.pods = kubernetes.manifests.isEmpty ? defaults.workloads : .init(incoming: .allow, outgoing: .allow)
    }
    return try PolicySet(
      ruleSets: ruleSets + made.ruleSets, networks: networks + made.networks, workloads: workloads + made.workloads,
      pods: made.pods, defaults: defaults)
  }

  private enum Kind: String, CaseIterable {
    case ruleSet = "NetworkRuleSet"
    case network = "ExternalNetwork"
    case workload = "Workload"
    case defaults = "Defaults"
  }

  /// Reads one document; one that has errors still counts for its name, so that no error follows from another.
  mutating func read(_ node: DocumentNode) {
    if kubernetes.read(node, with: &reader) { return }
    guard let fields = reader.fields(node, "", known: ["apiVersion", "kind", "metadata", "spec"], like: .document)
    else { return }
    guard let version = fields["apiVersion"] else {
      reader.fail(node.location, "apiVersion", "is missing", "write `apiVersion: \(PolicyParser.apiVersion)`")
      return
    }
    guard reader.choice(version, "apiVersion", as: "apiVersion that is read", [(PolicyParser.apiVersion, true)]) != nil
    else { return }
    guard let kindNode = fields["kind"] else {
      let all = Kind.allCases.map(\.rawValue).joined(separator: ", ")
      reader.fail(node.location, "kind", "is missing", "write one of \(all)")
      return
    }
    guard let kind = reader.choice(kindNode, "kind", Kind.allCases.map { ($0.rawValue, $0) }) else { return }
    let (name, labels) = metadata(fields["metadata"], node, kind)
    guard let spec = fields["spec"] else {
      reader.fail(node.location, "spec", "is missing", "write what the document says")
      return
    }
    // Without a name the rest is still read for its errors.
    let shown = name ?? ""
    switch kind {
    case .ruleSet:
      let read = reader.ruleSet(shown, spec, at: node.location)
      if name != nil { ruleSets.append(read) }
    case .network:
      let read = reader.network(shown, labels, spec, at: node.location)
      if name != nil { networks.append(read) }
    case .workload:
      let read = reader.workload(shown, spec, at: node.location)
      if name != nil { workloads.append(read) }
    case .defaults:
      let (read, namesPods) = reader.defaults(spec, at: node.location)
      podDefaultsAreGiven = podDefaultsAreGiven || namesPods
      add(read)
    }
  }

  private mutating func metadata(
    _ metadata: DocumentNode?, _ document: DocumentNode, _ kind: Kind
  ) -> (name: String?, labels: LabelSet) {
    guard let metadata else {
      reader.fail(document.location, "metadata", "is missing", "write `\(Template.metadata.text)`")
      return (nil, .empty)
    }
    let known = kind == .network ? ["name", "labels"] : ["name"]
    guard let fields = reader.fields(metadata, "metadata", known: known, like: .names) else { return (nil, .empty) }
    let labels = fields["labels"].flatMap { reader.labels($0, "metadata.labels") } ?? .empty
    guard let node = fields["name"] else {
      reader.fail(metadata.location, "metadata.name", "is missing", "give the document a name")
      return (nil, labels)
    }
    return (reader.name(node, "metadata.name"), labels)
  }
}
