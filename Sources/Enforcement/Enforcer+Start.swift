// Taking over from the agent before: the kernel is believed, the snapshot only gives it names.

internal import Kernel
internal import Logging
internal import Policy

extension Enforcer {
  /// Takes over what the agent before this one left: its policy and workloads stay in force and known.
  ///
  /// No table is written. What nothing explains stays as it is until policy and workloads are given anew.
  /// Attaches whatever of an adopted datapath is not attached. Many names that nobody here has now are left for
  /// `readMoreNames`; until then readers find the snapshot of the agent before.
  @discardableResult
  package func start() throws -> Publication {
    guard !datapath.holdings.isNew else {
      learnReplaced()
      return Publication(generation: 0)
    }
    for row in shadow.workloads.values { allocator.reserve(row.identity) }
    let slot = shadow.activeSlot
    shadow[slot] = try datapath.contents(of: slot)
    adoptNames()
    inheritRows()
    do {
      if let state, let former = try adoptIdentities(of: state.snapshot) { takeOver(former) } else { recognise([]) }
    } catch {
      logger.warning("\(error); what is in force stays")
      recognise([])
    }
    inherited.cgroups.subtract(roster.members.keys)
    try datapath.attach()
    isAttached = true
    let unnamed = shadow.workloads.count - roster.members.count
    logger.notice(
      """
      took over existing enforcement: \(shadow.workloads.count) workloads, generation \(shadow.generation)\
      \(unnamed > 0 ? ", \(unnamed) without a name yet" : "")\(policy == nil ? ", documents not known yet" : "")
      """)
    if let unread, unread.count <= Self.fewNames { readAllNames() }
    offerSnapshot()
    return Publication(generation: shadow.generation)
  }

  /// Takes the names that are kept beside the rows: no file says better what is in force.
  private func adoptNames() {
    do {
      let inForce = Set(shadow.workloads.values.map(\.identity))
      for (number, labels) in try datapath.names().sorted(by: { $0.key < $1.key }) where inForce.contains(number) {
        allocator.adopt(number, labels, generation: shadow.generation)
      }
    } catch {
      logger.warning("\(error); labels of workloads in force are found out anew")
    }
  }

  /// The labels of every number that a workload has, in the roster or in a row of the kernel's.
  var identities: [(key: IdentityNumber, value: LabelSet)] {
    guard shadow.workloads.count > roster.members.count || !inherited.aliases.isEmpty else {
      return allocator.sortedIdentities
    }
    var out = allocator.identities
    for row in shadow.workloads.values {
      out[row.identity] = allocator.labels(of: row.identity) ?? inherited.aliases[row.identity]
    }
    return out.sorted { $0.key < $1.key }
  }

  /// So many names are read before an agent enforces: it takes less than ten milliseconds.
  private static let fewNames = 2048

  /// Whether names of the agent before are left to be read.
  package var hasUnreadNames: Bool { unread != nil }

  /// Reads some of the names that were left; false when there are no more.
  ///
  /// They keep their numbers: whoever has labels that are not known yet has all of them read first.
  @discardableResult
  package func readMoreNames(_ limit: Int = 2048) -> Bool {
    let generation = shadow.generation
    unread?.take(limit) { number, labels in
      guard let set = Self.checked(labels) else { return }
      allocator.adopt(IdentityNumber(rawValue: number), set, generation: generation)
    }
    if let unread, unread.count > 0 { return true }
    if unread != nil {
      unread = nil
      offerSnapshot()
    }
    return false
  }

  /// Reads all of them.
  func readAllNames() {
    while readMoreNames(.max) {}
  }

  /// Reads all names if one of these sets of labels may be among them: it has its number then.
  func readNames(of workloads: [WorkloadInstance]) {
    guard unread != nil, workloads.contains(where: { allocator.number(of: $0.labels) == nil }) else { return }
    readAllNames()
  }

  /// Gives every number that is in force its labels again; returns the rest of what the former agent wrote.
  private func adoptIdentities(of path: String) throws(DatapathError) -> Snapshot? {
    let inForce = Set(shadow.workloads.values.map(\.identity.rawValue))
    var found: [(number: IdentityNumber, labels: LabelSet)] = []
    let read = try Snapshot.read(from: path, needing: { inForce.contains($0) }) { number, _, labels in
      guard let set = Self.checked(labels) else { return }
      found.append((IdentityNumber(rawValue: number), set))
    }
    guard let read else { return nil }
    guard read.snapshot.pins == datapath.pins else {
      throw DatapathError(
        "read snapshot", path, reason: "it is of another instance: its pins are \(read.snapshot.pins)",
        remedy: "it is replaced")
    }
    // An agent that wrote no names, or a table of names that is gone: what is known now is written down.
    found = found.filter { allocator.labels(of: $0.number) == nil }
    for (number, labels) in found { allocator.adopt(number, labels, generation: shadow.generation) }
    remember(found.filter { allocator.labels(of: $0.number) == $0.labels && inForce.contains($0.number.rawValue) })
    if read.unread.count > 0 { unread = read.unread }
    return read.snapshot
  }

  /// The labels of a file, which may hold anything; nil if they are none.
  private static func checked(_ labels: [(key: String, value: String)]) -> LabelSet? {
    try? LabelSet(labels.map { label throws(LabelError) in try Label(label.key, label.value) })
  }

  private func takeOver(_ former: Snapshot) {
    for instance in former.workloads where (0...WorkloadInstance.deepestLevel).contains(instance.level) {
      guard let row = shadow.workloads[instance.cgroup], row.observe == instance.observe,
        row.rejectsUnlabelledChildren == instance.rejectsUnlabelledChildren,
        allocator.number(of: instance.labels) == row.identity,
        let number = try? allocator.retain(instance.labels, generation: shadow.generation)
      else { continue }
      roster.set(Roster.Member(instance: instance, number: number))
    }
    keepEnded(former.ended ?? [])
    recognise(former.sources)
  }

  /// Takes documents for those in force, if the kernel holds what they compile to or says that it was made of them.
  private func recognise(_ documents: [PolicySource]) {
    let slot = shadow.activeSlot
    let isMarked = (try? datapath.mark(of: slot)) == documents.mark
    guard isMarked || !documents.isEmpty,
      let parsed = try? PolicyParser.parse(files: documents.map { (name: $0.name, bytes: $0.bytes) }),
      let result = try? Compiler.compile(policy: parsed.policy, sorted: identities)
    else { return }
    if shadow[slot] == SlotContents(result.tables, addresses: addresses) {
      compiled = result
      policy = parsed.policy
    } else if !isMarked {
      // A crash between the flip and the snapshot, or rows without names: publishing this could change verdicts.
      logger.warning("the kernel holds another policy than the snapshot says; it stays until one is applied")
      return
    }
    // The same documents, compiled when there were other workloads: applying them tidies up.
    sources = documents
    self.documents = documents.mark
    isRecognised = true
  }
}
