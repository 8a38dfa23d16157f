// Every cgroup of a subtree and what it is labelled with, kept up to date by events.
package import Enforcement
package import Kernel
internal import Policy
internal import SystemPackage

/// How the workloads of a host changed.
package enum WorkloadChange: Sendable, Equatable {
  /// A cgroup became a workload.
  case added(WorkloadInstance)
  /// A workload's labels, mode, addresses or name changed.
  case changed(WorkloadInstance, before: WorkloadInstance)
  /// Nothing labels a cgroup any more, although it is there.
  case removed(WorkloadInstance)
  /// A workload's cgroup went; sockets that it made may live on.
  case ended(WorkloadInstance)
}

/// What came of a look or of events.
package struct TrackerUpdate: Sendable {
  /// In the order in which they are to be put in force.
  package var changes: [WorkloadChange] = []
  /// New cgroups, or old ones about which a source may now know more: ask the sources that claim them.
  package var toAsk: [CgroupPlace] = []
  /// Cgroups that were removed: nobody needs to know anything about them any more.
  package var gone: [CgroupID] = []
  /// Removed cgroups that nothing refers to any more, no socket either.
  package var released: [CgroupID] = []
  /// Cgroups made for one command in which no process is left.
  package var abandoned: [CgroupID] = []
  /// Processes that began to run another program.
  package var started: [ProcessStart] = []
  /// Workloads among `changes` that are labelled otherwise only because processes ended: nobody relabelled them, so that
  /// their connections live on.
  package var outlived: Set<CgroupID> = []

  /// Adds what came after.
  package mutating func append(_ later: TrackerUpdate) {
    changes += later.changes
    toAsk += later.toAsk
    gone += later.gone
    released += later.released
    abandoned += later.abandoned
    started += later.started
    outlived.formUnion(later.outlived)
  }
}

/// What is known of one cgroup, and what follows from it.
package struct TrackedCgroup: Sendable {
  /// What is known.
  package internal(set) var facts: CgroupFacts
  /// What follows.
  package internal(set) var classification: Classification
  /// What could not be found out, one line each.
  package internal(set) var faults: [String]
  /// What daemons answered, which says more than what files say.
  var answers: [String: SourceLabels] = [:]
  /// The cgroup above; nil for the watched one.
  var parent: CgroupID?
  /// What it was until its last process ended, where that alone is why it is no workload any more.
  var former: WorkloadInstance?
}

/// The one place that knows all cgroups; owned by one loop, which hands it everything that happens.
///
/// Events say which cgroup to look at, never what it looks like: doubled and reordered ones are harmless, and after a loss
/// one look at everything (`rescan`) is as good as never having missed any.
package struct WorkloadTracker: Sendable {
  /// The cgroup whose subtree is watched.
  package let root: CgroupDirectory
  /// What decides labels.
  package private(set) var classifier: Classifier
  /// All cgroups that are known.
  package private(set) var cgroups: [CgroupID: TrackedCgroup] = [:]
  /// Removed cgroups whose sockets may live on.
  private(set) var ended = EndedCgroups()
  private let sources: [any LabelSource]
  /// Reads the processes that rules ask for.
  package let processes: ProcessReader
  /// The labels that earlier agents put in force, so that nobody's time starts anew.
  private var earlier: [CgroupID: WorkloadInstance] = [:]
  /// Cgroups with warnings or faults: few, however many cgroups there are.
  private var complaining: Set<CgroupID> = []

  /// Watches below and including `root`; nothing is looked at before `rescan`.
  package init(
    root: CgroupDirectory, classifier: Classifier = Classifier(rules: []), sources: [any LabelSource] = [],
    processes: ProcessReader = ProcessReader()
  ) {
    self.root = root
    self.classifier = classifier
    self.sources = sources
    self.processes = processes
  }

  /// The workloads, by path.
  package var workloads: [WorkloadInstance] {
    cgroups.values.compactMap(\.classification.workload).sorted { $0.path < $1.path }
  }

  /// What people should know, one line each, sorted.
  package var warnings: [String] {
    complaining.flatMap { id in
      cgroups[id].map { $0.classification.warnings + $0.faults } ?? []
    }.sorted()
  }

  /// Whether any process is in a cgroup or below it.
  package func isPopulated(_ id: CgroupID) -> Bool {
    guard let directory = try? root.hierarchy.directory(id: id) else { return false }
    return (try? directory.isEmpty()) == false
  }

  /// Takes over since when workloads have their labels.
  package mutating func remember(_ workloads: [WorkloadInstance]) {
    for workload in workloads { earlier[workload.cgroup] = workload }
  }

  // MARK: Looking

  /// Looks at every cgroup.
  ///
  /// - Throws: when the root cannot be read. What is wrong with one cgroup is a warning, not a failure.
  package mutating func rescan() throws(KernelError) -> TrackerUpdate {
    var update = TrackerUpdate()
    var seen: Set<CgroupID> = []
    // Not inside the walk: it must not hold this value while the value changes.
    var directories: [CgroupDirectory] = []
    try root.walk { directory throws(KernelError) in
      seen.insert(directory.id)
      directories.append(directory)
      guard directories.count >= 256 else { return }
      for directory in directories { look(at: directory, &update) }
      directories.removeAll(keepingCapacity: true)
    }
    for directory in directories { look(at: directory, &update) }
    for id in cgroups.keys where !seen.contains(id) { remove(id, &update) }
    for id in cgroups.keys { noteEmptied(id, &update) }
    earlier = [:]
    return update
  }

  /// Looks at what events mention.
  package mutating func apply(_ events: [WorkloadEvent]) throws(KernelError) -> TrackerUpdate {
    if events.contains(.unknown) {
      var update = try rescan()
      for case .executed(let start) in events { update.started.append(start) }
      return update
    }
    var update = TrackerUpdate()
    var removed: Set<CgroupID> = []
    for case .removed(let id) in events { removed.insert(id) }
    // Each cgroup once, however many processes came and went in it.
    var crowded: Set<CgroupID> = []
    for event in events {
      switch event {
      case .made(let id): if !removed.contains(id) { look(at: id, &update) }
      case .removed(let id): remove(id, &update)
      case .released(let id):
        ended.forget(id)
        update.released.append(id)
      case .emptied(let id): noteEmptied(id, &update)
      case .entered(let id, _), .exited(let id, _): if !removed.contains(id) { crowded.insert(id) }
      case .executed(let start):
        update.started.append(start)
        if !removed.contains(start.cgroup) { crowded.insert(start.cgroup) }
      // What the mirror makes of them is told by itself.
      case .enteredV1, .removedV1, .unknown: break
      }
    }
    for id in crowded.sorted() {
      let isOfInterest = cgroups[id].map { classifier.needsProcesses(of: $0.facts) } ?? true
      if isOfInterest { look(at: id, &update) }
    }
    return update
  }

  /// Looks at one cgroup again, such as after a tag was written on it.
  package mutating func look(at id: CgroupID) -> TrackerUpdate {
    var update = TrackerUpdate()
    look(at: id, &update)
    return update
  }

  /// Decides anew about every cgroup by other rules.
  package mutating func use(_ classifier: Classifier) -> TrackerUpdate {
    self.classifier = classifier
    var update = TrackerUpdate()
    for (id, known) in cgroups {
      let mustLook = classifier.needsProcesses(of: known.facts)
      if mustLook { look(at: id, &update) } else { decide(known.facts, known.faults, &update) }
    }
    return update
  }

  // MARK: Sources

  /// Takes what a source answered about a cgroup; nil = it knows nothing.
  package mutating func learn(_ answer: SourceLabels?, from source: String, about id: CgroupID) -> TrackerUpdate {
    var update = TrackerUpdate()
    guard let known = cgroups[id], let answer else { return update }
    cgroups[id]?.answers[source] = answer
    var facts = known.facts
    facts.found[source] = answer
    decide(facts, known.faults, &update)
    return update
  }

  /// Looks again at what a source says has changed.
  package mutating func reconsider(_ change: SourceChange, of source: String) -> TrackerUpdate {
    var update = TrackerUpdate()
    guard let source = sources.first(where: { $0.name == source }) else { return update }
    for (id, known) in cgroups where source.claims(place(of: known.facts)) {
      switch change {
      case .everything: break
      case .container(let name): guard known.facts.path.contains(name) else { continue }
      case .unit(let name): guard known.facts.unit == name else { continue }
      }
      update.toAsk.append(place(of: known.facts))
      look(at: id, &update)
    }
    return update
  }

  // MARK: One cgroup

  private mutating func look(at id: CgroupID, _ update: inout TrackerUpdate) {
    // What cannot be opened is gone or going: the event of its end follows.
    guard let directory = try? root.hierarchy.directory(id: id), directory.path.starts(with: root.path) else { return }
    look(at: directory, &update)
  }

  private mutating func look(at directory: CgroupDirectory, _ update: inout TrackerUpdate) {
    let isNew = cgroups[directory.id] == nil
    var faults: [String] = []
    var facts = CgroupFacts(
      cgroup: directory.id, path: directory.path.description, level: directory.level,
      root: root.path.description)
    let answers = cgroups[directory.id]?.answers ?? [:]
    switch CgroupTags.read(directory) {
    case .success(let tag): facts.tag = tag
    case .failure(let error):
      faults.append("\(facts.path): \(error): not labelled by it; repair it with `sallyport label`")
    }
    let place = place(of: facts)
    var isClaimed = false
    for source in sources where source.claims(place) {
      isClaimed = true
      do throws(SourceFault) {
        if let found = try source.labels(of: place) { facts.found[source.name] = found }
      } catch {
        faults.append("\(facts.path): \(error)")
      }
    }
    facts.found.merge(answers) { _, answer in answer }
    if isNew, isClaimed { update.toAsk.append(place) }
    if classifier.needsProcesses(of: facts) {
      facts.processes = try? processes.traits(in: directory, digests: classifier.needsDigests)
    }
    if let known = cgroups[directory.id], outlives(facts, known, directory, &update) { return }
    decide(facts, faults, &update)
    if isNew, directory.id != root.id { cgroups[directory.id]?.parent = directory.parentID }
  }

  private mutating func decide(_ facts: CgroupFacts, _ faults: [String], _ update: inout TrackerUpdate) {
    let id = facts.cgroup
    let before = cgroups[id]?.classification.workload
    var result = classifier.classify(facts)
    if var workload = result.workload {
      workload.since = before?.since ?? earlier[id]?.since ?? 0
      let last = before ?? earlier[id]
      if workload.labels != last?.labels { workload.since = Clock.wallNanoseconds() }
      result.workload = workload
    }
    let answers = cgroups[id]?.answers ?? [:]
    let (parent, former) = (cgroups[id]?.parent, cgroups[id]?.former)
    cgroups[id] = TrackedCgroup(
      facts: facts, classification: result, faults: faults, answers: answers, parent: parent)
    if result.warnings.isEmpty && faults.isEmpty { complaining.remove(id) } else { complaining.insert(id) }
    switch (before, result.workload) {
    case (nil, let now?): update.changes.append(.added(now))
    case (let before?, let now?): if before != now { update.changes.append(.changed(now, before: before)) }
    case (let before?, nil): update.changes.append(.removed(before))
    case (nil, nil):
      // Others came into a cgroup whose workload had ended.
      guard let former else { break }
      if isPopulated(id) { update.changes.append(.removed(former)) } else { cgroups[id]?.former = former }
    }
  }

  /// Whether what is known of a cgroup stays as it is, because nothing but the end of its last processes would change it.
  ///
  /// A rule over executables, or an engine that forgets a container, then says less of it; nobody gave it other labels.
  private mutating func outlives(
    _ facts: CgroupFacts, _ known: TrackedCgroup, _ directory: CgroupDirectory, _ update: inout TrackerUpdate
  ) -> Bool {
    guard let before = known.classification.workload, let kept = restoring(known.facts, to: facts) else { return false }
    func decided(_ facts: CgroupFacts) -> WorkloadInstance? {
      var workload = classifier.classify(facts).workload
      workload?.since = before.since
      return workload
    }
    let now = decided(facts)
    guard now != before, decided(kept) == before else { return false }
    guard (try? directory.isEmpty()) == true else {
      update.outlived.insert(facts.cgroup)
      return false
    }
    guard now == nil else { return true }
    update.changes.append(.ended(before))
    cgroups[facts.cgroup]?.facts = facts
    cgroups[facts.cgroup]?.classification = classifier.classify(facts)
    cgroups[facts.cgroup]?.former = before
    return true
  }

  /// Facts with what the end of processes took from them; nil if it took nothing.
  private func restoring(_ before: CgroupFacts, to facts: CgroupFacts) -> CgroupFacts? {
    var kept = facts
    var isLess = false
    // As many as before, and others: they run other programs now.
    if let former = before.processes, let now = facts.processes, now.count < former.count {
      kept.processes = former
      isLess = true
    }
    for source in sources where source.describesProcesses && facts.found[source.name] == nil {
      guard let found = before.found[source.name] else { continue }
      kept.found[source.name] = found
      isLess = true
    }
    return isLess ? kept : nil
  }

  private mutating func remove(_ id: CgroupID, _ update: inout TrackerUpdate) {
    guard let known = cgroups.removeValue(forKey: id) else { return }
    complaining.remove(id)
    if let parent = known.parent { ended.note(id, below: parent) }
    update.gone.append(id)
    if let workload = known.classification.workload { update.changes.append(.ended(workload)) }
  }

  private func noteEmptied(_ id: CgroupID, _ update: inout TrackerUpdate) {
    if cgroups[id]?.facts.tag?.transientOwner != nil { update.abandoned.append(id) }
  }

  private func place(of facts: CgroupFacts) -> CgroupPlace {
    CgroupPlace(cgroup: facts.cgroup, path: facts.path, root: root.path.description)
  }
}
