// Taking over from the agent before: the kernel is believed, the snapshot only gives it names.

internal import Kernel
internal import Logging
internal import Policy

extension Enforcer {
  /// Takes over what the agent before this one left: its policy and workloads stay in force and known.
  ///
  /// No table is written. What the snapshot cannot explain stays as it is until policy and workloads are given anew.
  /// Attaches whatever of an adopted datapath is not attached. Many names that nobody here has now are left for
  /// `readMoreNames`; until then readers find the snapshot of the agent before.
  @discardableResult
  public func start() throws -> Publication {
    guard !datapath.holdings.isNew else { return Publication(generation: 0) }
    for row in shadow.workloads.values { allocator.reserve(row.identity) }
    let slot = shadow.activeSlot
    shadow[slot] = try datapath.contents(of: slot)
    do {
      if let state, let former = try adoptIdentities(of: state.snapshot) { takeOver(former) }
    } catch {
      logger.warning("the snapshot is of no use: \(error)")
    }
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

  /// The labels of every number that a workload has, in the roster or in a row of the kernel's.
  var identities: [(key: IdentityNumber, value: LabelSet)] {
    guard shadow.workloads.count > roster.members.count else { return allocator.sortedIdentities }
    var out = allocator.identities
    for row in shadow.workloads.values { out[row.identity] = allocator.labels(of: row.identity) }
    return out.sorted { $0.key < $1.key }
  }

  /// Gives rows that an agent before us left their labels back, so that their numbers stay and no verdict changes
  /// while they are put in force again.
  func explainRows(by workloads: [WorkloadInstance]) {
    for instance in workloads {
      guard let row = shadow.workloads[instance.cgroup] else { continue }
      allocator.adopt(row.identity, instance.labels, generation: shadow.generation)
    }
  }

  /// So many names are read before an agent enforces: it takes less than ten milliseconds.
  private static let fewNames = 2048

  /// Whether names of the agent before are left to be read.
  public var hasUnreadNames: Bool { unread != nil }

  /// Reads some of the names that were left; false when there are no more.
  ///
  /// They keep their numbers: whoever has labels that are not known yet has all of them read first.
  @discardableResult
  public func readMoreNames(_ limit: Int = 2048) -> Bool {
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
    let read = try Snapshot.read(from: path, needing: { inForce.contains($0) }) { number, _, labels in
      guard let set = Self.checked(labels) else { return }
      allocator.adopt(IdentityNumber(rawValue: number), set, generation: shadow.generation)
    }
    guard let read else { return nil }
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
    guard let compiled = recompiled(former) else { return }
    self.compiled = compiled.result
    policy = compiled.policy
    sources = former.sources
  }

  /// The former policy, if the kernel holds exactly what it compiles to.
  private func recompiled(_ former: Snapshot) -> (result: Compiled, policy: PolicySet)? {
    let files = former.sources.map { (name: $0.name, bytes: $0.bytes) }
    guard !files.isEmpty, let parsed = try? PolicyParser.parse(files: files),
      let result = try? Compiler.compile(policy: parsed.policy, sorted: identities)
    else { return nil }
    let wanted = SlotContents(result.tables, addresses: roster.addresses)
    guard shadow[shadow.activeSlot] == wanted else {
      // A crash between the flip and the snapshot, or rows without names: publishing this could change verdicts.
      logger.warning("the kernel holds another policy than the snapshot says; it stays until one is applied")
      return nil
    }
    return (result, parsed.policy)
  }
}
