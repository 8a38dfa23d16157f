// How the programs come into the kernel: loaded anew, found as they are, or replaced in place.

internal import BPF
internal import CDatapath
internal import Kernel
internal import SystemPackage

/// Opens the programs of one kind for one instance; attaches nothing.
struct ProgramLoader {
  let kind: DatapathKind
  /// Where the programs are from: what is adopted, else the best that loads.
  private(set) var object: EmbeddedObject
  let options: DatapathOptions
  let pins: PinnedState
  /// The cgroup that is policed.
  let cgroup: CgroupDirectory
  /// What was done that people may want to know.
  private(set) var notes: [String] = []

  /// Checks what must be there before anything is loaded.
  init(_ kind: DatapathKind, _ options: DatapathOptions, state: StateDirectory) throws(DatapathError) {
    self.kind = kind
    self.options = options
    pins = PinnedState(bpffs: options.bpffs, state: state, kind: kind)
    object = pins.object
    do throws(KernelError) {
      try Capabilities.require([.bpf, .netAdmin])
      try BPFFilesystem(path: options.bpffs).require()
      cgroup = try CgroupHierarchy.find().directory(mountedAt: FilePath(options.cgroup))
    } catch {
      throw DatapathError("prepare", options.cgroup, underlying: error, remedy: error.remedy)
    }
  }

  /// Adopts what is pinned, or loads anew; true if anew.
  mutating func open() throws(DatapathError) -> Bool {
    let fault = pins.exists ? repair() : nil
    if pins.exists, try isEnforcing() {
      try pins.removeStaging()
      if let fault { return try replace(fault) }
      do throws(DatapathError) {
        try adopt()
      } catch {
        return try replace("\(error)")
      }
      if object.view == .mark { notes.append("mark view, as before") }
      return false
    }
    // Rules have the same names in both versions: what the former one calls stays.
    if pins.exists { if pins.former.exists { try pins.removeAll() } else { try pins.end() } }
    try prepare()
    return true
  }

  /// Pins again what is missing; why what is pinned cannot be adopted, nil if it can.
  private mutating func repair() -> String? {
    do throws(DatapathError) {
      // What leads nowhere any more enforces nothing, and is made anew.
      if kind == .cgroup, try pins.names(in: "links").isEmpty { return nil }
      let repaired = try pins.repair()
      if !repaired.isEmpty { notes.append("pinned again: \(repaired.joined(separator: ", "))") }
      let version = try pins.version()
      if version == SP_ABI_VERSION { return nil }
      return "it has ABI version \(version.map { String($0) } ?? "unknown"), this program has version \(SP_ABI_VERSION)"
    } catch {
      return error.problem
    }
  }

  /// Loads anew beside what cannot be adopted: that goes on enforcing until all of this does.
  private mutating func replace(_ fault: String) throws(DatapathError) -> Bool {
    do throws(DatapathError) {
      if pins.former.exists, try !pins.missingAttachments().isEmpty {
        // What came before this enforces still, and this does not wholly.
        try pins.removeAll()
      } else {
        if pins.former.exists { try pins.former.removeAll() }
        try pins.setAside()
      }
    } catch {
      throw DatapathError(
        "replace", pins.published, reason: "\(fault): \(error.problem)", underlying: error,
        remedy: "run the version that made it, or `sallyport detach` and start anew")
    }
    notes.append("replaces what is in force: \(fault)")
    try prepare()
    return true
  }

  /// Whether the pinned state polices the cgroup; a state that polices nothing (any more) may go.
  private mutating func isEnforcing() throws(DatapathError) -> Bool {
    let policed = try pins.policedCgroup()
    guard let policed else {
      notes.append("removed a state that was not attached any more")
      return false
    }
    guard policed == cgroup.id else {
      throw DatapathError(
        "adopt", pins.published,
        reason: "it enforces on cgroup \(policed), and \(options.cgroup) is cgroup \(cgroup.id)",
        remedy: "name that cgroup, or detach first")
    }
    return true
  }

  // MARK: Anew

  private mutating func prepare() throws(DatapathError) {
    try pins.prepareStaging()
    let room = options.maxEntries
    do throws(BPFError) {
      let loaded = try loadBest(of: EmbeddedObject.of(kind, view: options.netfilter.view)) { object throws(BPFError) in
        try object.setMaxEntries(map: "sp_policy", room)
        try object.setMaxEntries(map: "sp_networks", DatapathOptions.networkEntries)
      }
      try loaded.object.pinMaps(at: "\(pins.staging)/maps")
      for name in object.configurations {
        try Self.configMap(loaded.object, name).pin(at: "\(pins.staging)/maps/\(PinnedState.pin(of: name))")
      }
      if object.view == .mark {
        // Its programs are told who is policed; this is for successors and readers.
        let scope = try BPFMap<UInt32, sp_nf_config>.create(.array, name: "sp_nf_config", maxEntries: 1)
        try scope.set(Rows.scope(cgroup.id, level: cgroup.level), for: 0)
        try scope.pin(at: "\(pins.staging)/maps/sp_nf_config")
      }
      for name in object.programs {
        try loaded.object.pinProgram(named: name, at: "\(pins.staging)/programs/\(name)")
      }
    } catch {
      // What is in staging is not attached; the next start removes it if this cannot.
      try? pins.removeStaging()
      throw DatapathError("load programs", options.cgroup, underlying: error, remedy: error.remedy)
    }
    try pins.publish()
  }

  private func load(
    features: UInt32, _ configure: (borrowing OpenObject) throws(BPFError) -> Void
  ) throws(BPFError) -> LoadedObject {
    let opened = try object.withBytes { bytes throws(BPFError) in
      try BPFObject.open(bytes: bytes, name: "sp")
    }
    try opened.setReadOnlyData(".rodata.config", Rows.config(options, features: features))
    switch object.view {
    case nil: break
    case .exact: try opened.setReadOnlyData(".rodata.netfilter", Rows.scope(cgroup.id, level: cgroup.level))
    case .mark: try opened.setReadOnlyData(".rodata.mark", Rows.mark(try markLayout()))
    }
    try configure(opened)
    return try opened.load()
  }

  private func markLayout() throws(BPFError) -> MarkLayout {
    let mask = options.netfilter.markMask
    guard let layout = MarkLayout(mask: mask) else {
      throw BPFError(
        "divide", "mark mask 0x\(String(mask, radix: 16))", .invalidArgument,
        remedy: "choose a mask of 6 to 21 adjacent bits")
    }
    return layout
  }

  /// Loads the best object that the kernel takes, and notes why it is not the first.
  private mutating func loadBest(
    of candidates: [EmbeddedObject], _ configure: (borrowing OpenObject) throws(BPFError) -> Void
  ) throws(BPFError) -> Loaded {
    var first: BPFError?
    for candidate in candidates {
      object = candidate
      do throws(BPFError) {
        let loaded = try load(configure)
        if let first { notes.append("\(candidate.meaning), because better ones do not load here: \(first)") }
        return loaded
      } catch {
        if first == nil { first = error }
      }
    }
    throw first ?? BPFError("load object", "sp", .invalidArgument)
  }

  /// Loads with all optional features, then with fewer until the kernel takes them: probing by trying.
  ///
  /// If none will do, the first error is the one to tell.
  private func load(_ configure: (borrowing OpenObject) throws(BPFError) -> Void) throws(BPFError) -> Loaded {
    var first: BPFError?
    for features in KernelFeatures.choices {
      do throws(BPFError) {
        return Loaded(object: try load(features: features, configure), features: features)
      } catch {
        if first == nil { first = error }
      }
    }
    throw first ?? BPFError("load object", "sp", .invalidArgument)
  }

  /// Programs in the kernel, and the features that they use.
  private struct Loaded: ~Copyable {
    let object: LoadedObject
    let features: UInt32
  }

  private static func configMap(
    _ loaded: borrowing LoadedObject, _ section: String
  ) throws(BPFError) -> OwnedDescriptor {
    let name = loaded.mapNames.first { $0.hasSuffix(section) }
    return try loaded.mapDescriptor(named: name ?? section)
  }

  // MARK: As it is, or in place

  private mutating func adopt() throws(DatapathError) {
    guard try adopt(mayMake: false) else {
      // A map that any program uses is found by that program; what is missing then is used by none.
      let repaired = try pins.repair(everything: true)
      if !repaired.isEmpty { notes.append("pinned again: \(repaired.joined(separator: ", "))") }
      _ = try adopt(mayMake: true)
      return
    }
  }

  /// Takes over what is pinned; false, with nothing done, if pins of maps are missing and may not be made.
  private mutating func adopt(mayMake: Bool) throws(DatapathError) -> Bool {
    let present = Set(try pins.names(in: "maps"))
    do throws(BPFError) {
      let path = pins.map(PinnedState.configName)
      let held = try BPFMap<UInt32, sp_config>.pinned(path).value(for: 0)
      guard let held else { throw BPFError("adopt", path, .noData) }
      let pins = pins
      // What has the same maps may take over.
      let candidates = EmbeddedObject.of(kind, view: pins.view)
      let loaded = try loadBest(of: candidates) { object throws(BPFError) in
        for name in object.mapNames where present.contains(name) {
          try object.reusePinnedMap(name, path: pins.map(name))
        }
      }
      let absent = loaded.object.mapNames.filter { !$0.contains(".") && !present.contains($0) }
      guard absent.isEmpty || mayMake else { return false }
      for name in absent { try loaded.object.mapDescriptor(named: name).pin(at: pins.map(name)) }
      let wanted = Rows.config(options, features: loaded.features)
      var replaced = 0
      for name in object.programs {
        let next = try loaded.object.program(named: name)
        let current = try isCurrent(name, next.tag)
        if current, Rows.same(held, wanted) { continue }
        try replace(name, with: next)
        replaced += 1
      }
      if replaced > 0 {
        for name in object.configurations {
          try removePin(at: pins.map(PinnedState.pin(of: name)))
          try Self.configMap(loaded.object, name).pin(at: pins.map(PinnedState.pin(of: name)))
        }
        notes.append("replaced \(replaced) programs in place")
      }
      return true
    } catch {
      throw DatapathError("adopt", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  /// Whether the attached program is the pinned one, and has the tag of this binary's.
  private func isCurrent(_ name: String, _ tag: String) throws(BPFError) -> Bool {
    let pinned = try BPFProgram.pinned(pins.program(name))
    guard pinned.tag == tag else { return false }
    // A link that is missing is made on attaching, from the pinned program.
    guard pins.hasLink(name) else { return true }
    return try PinnedLink.open(pins.link(name)).info().programID == pinned.id
  }

  /// The link first: a crash in between leaves a pin that differs from its link, which the next start notices.
  private func replace(_ name: String, with next: borrowing BPFProgram) throws(BPFError) {
    if pins.hasLink(name) {
      switch kind {
      case .cgroup: try PinnedLink.open(pins.link(name)).replace(program: next)
      // The program of a tracepoint's link cannot be replaced: attaching makes another link.
      case .netfilter: try removePin(at: pins.link(name))
      }
    }
    try removePin(at: pins.program(name))
    try next.pin(at: pins.program(name))
  }
}
