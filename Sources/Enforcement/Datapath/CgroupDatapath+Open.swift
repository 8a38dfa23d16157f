// How the programs come into the kernel: loaded anew, found as they are, or replaced in place.

internal import BPF
internal import CDatapath
internal import Kernel
internal import SystemPackage

extension CgroupDatapath {
  /// Adopts what an agent before this one left, or loads the programs anew; takes the lock of `state`.
  ///
  /// Nothing is attached anew; nothing that is attached ends. Programs that differ from this binary's are replaced link
  /// by link, with the maps kept. Another ABI version, or another cgroup, is refused.
  public static func open(_ options: Options, state: StateDirectory) throws(DatapathError) -> CgroupDatapath {
    let lock = try state.acquire()
    let cgroup = try preflight(options)
    let pins = PinnedState(bpffs: options.bpffs, state: state)
    var notes: [String] = []
    var isNew = true
    if pins.exists, try isEnforcing(pins, on: cgroup, options, &notes) {
      isNew = false
      try adopt(pins, options, &notes)
    } else {
      if pins.exists { try pins.removeAll() }
      try prepare(pins, options)
    }
    do throws(BPFError) {
      let tables = try KernelTables(pins)
      return CgroupDatapath(
        tables: tables, holdings: try tables.holdings(isNew: isNew), pinned: pins, cgroup: cgroup, lock: lock,
        notes: notes)
    } catch {
      throw DatapathError("open tables", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  /// Ends enforcement without an agent: detaches and removes everything that is pinned; false if there was nothing.
  @discardableResult
  public static func remove(bpffs: String = "/sys/fs/bpf", state: StateDirectory) throws(DatapathError) -> Bool {
    let pins = PinnedState(bpffs: bpffs, state: state)
    let lock = try state.acquire()
    defer { _ = consume lock }
    let found = pins.exists
    try pins.removeAll()
    return found
  }

  private static func preflight(_ options: Options) throws(DatapathError) -> CgroupDirectory {
    do throws(KernelError) {
      try Capabilities.require([.bpf, .netAdmin])
      try BPFFilesystem(path: options.bpffs).require()
      return try CgroupHierarchy.find().directory(mountedAt: FilePath(options.cgroup))
    } catch {
      throw DatapathError("prepare", options.cgroup, underlying: error, remedy: error.remedy)
    }
  }

  /// Whether the pinned state polices the cgroup; a state that polices nothing (any more) may go.
  private static func isEnforcing(
    _ pins: PinnedState, on cgroup: CgroupDirectory, _ options: Options, _ notes: inout [String]
  ) throws(DatapathError) -> Bool {
    var alive = false
    for name in try pins.names(in: "links") {
      let info: LinkInfo
      do throws(BPFError) {
        info = try PinnedLink.open(pins.link(name)).info()
      } catch {
        throw DatapathError("open link", pins.link(name), underlying: error)
      }
      // The cgroup was removed, and its links ended with it.
      guard let id = info.cgroupID else { continue }
      guard id == cgroup.id.rawValue else {
        throw DatapathError(
          "adopt", pins.published, reason: "it enforces on cgroup \(id), and \(options.cgroup) is cgroup \(cgroup.id)",
          remedy: "name that cgroup, or detach first")
      }
      alive = true
    }
    if !alive { notes.append("removed a state that was not attached any more") }
    return alive
  }

  // MARK: Anew

  private static func prepare(_ pins: PinnedState, _ options: Options) throws(DatapathError) {
    try pins.prepareStaging()
    do throws(BPFError) {
      let loaded = try load(options) { object throws(BPFError) in
        try object.setMaxEntries(map: "sp_policy", options.maxEntries)
      }
      try loaded.object.pinMaps(at: "\(pins.staging)/maps")
      try configMap(loaded.object).pin(at: "\(pins.staging)/maps/\(PinnedState.configName)")
      for hook in Hook.all {
        try loaded.object.pinProgram(named: hook.program, at: "\(pins.staging)/programs/\(hook.program)")
      }
    } catch {
      // What is in staging is not attached; the next start removes it if this cannot.
      try? pins.removeAll()
      throw DatapathError("load programs", options.cgroup, underlying: error, remedy: error.remedy)
    }
    try pins.publish()
  }

  private static func load(
    _ options: Options, features: UInt32, _ configure: (borrowing OpenObject) throws(BPFError) -> Void
  ) throws(BPFError) -> LoadedObject {
    let object = try EmbeddedObject.withCgroupObject { bytes throws(BPFError) in
      try BPFObject.open(bytes: bytes, name: "sp")
    }
    try object.setReadOnlyData(".rodata.config", Rows.config(options, features: features))
    try configure(object)
    return try object.load()
  }

  /// Loads with all optional features, then with fewer until the kernel takes them: probing by trying.
  ///
  /// If none will do, the first error is the one to tell.
  private static func load(
    _ options: Options, _ configure: (borrowing OpenObject) throws(BPFError) -> Void
  ) throws(BPFError) -> Loaded {
    var first: BPFError?
    for features in KernelFeatures.choices {
      do throws(BPFError) {
        return Loaded(object: try load(options, features: features, configure), features: features)
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

  private static func configMap(_ loaded: borrowing LoadedObject) throws(BPFError) -> OwnedDescriptor {
    let name = loaded.mapNames.first { $0.hasSuffix(".rodata.config") }
    return try loaded.mapDescriptor(named: name ?? ".rodata.config")
  }

  // MARK: As it is, or in place

  private static func adopt(
    _ pins: PinnedState, _ options: Options, _ notes: inout [String]
  ) throws(DatapathError) {
    do throws(BPFError) {
      let held = try BPFMap<UInt32, sp_config>.pinned(pins.map(PinnedState.configName)).value(for: 0)
      guard let held, held.abi_version == SP_ABI_VERSION else {
        throw BPFError(
          "adopt ABI version \(held?.abi_version ?? 0)", "this program has version \(SP_ABI_VERSION)",
          .invalidArgument, remedy: "run the former version, or detach and start anew")
      }
      let loaded = try load(options) { object throws(BPFError) in
        for name in object.mapNames where !name.contains(".") { try object.reusePinnedMap(name, path: pins.map(name)) }
      }
      let wanted = Rows.config(options, features: loaded.features)
      var replaced = 0
      for hook in Hook.all {
        let next = try loaded.object.program(named: hook.program)
        let current = try isCurrent(hook, next.tag, pins)
        if current, Rows.same(held, wanted) { continue }
        try replace(hook, with: next, pins)
        replaced += 1
      }
      if replaced > 0 {
        try removePin(at: pins.map(PinnedState.configName))
        try configMap(loaded.object).pin(at: pins.map(PinnedState.configName))
        notes.append("replaced \(replaced) programs in place")
      }
    } catch {
      throw DatapathError("adopt", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  /// Whether the attached program is the pinned one, and has the tag of this binary's.
  private static func isCurrent(_ hook: Hook, _ tag: String, _ pins: PinnedState) throws(BPFError) -> Bool {
    let pinned = try BPFProgram.pinned(pins.program(hook.program))
    guard pinned.tag == tag else { return false }
    // A link that is missing is made by `attach()`, from the pinned program.
    guard pins.hasLink(hook.program) else { return true }
    return try PinnedLink.open(pins.link(hook.program)).info().programID == pinned.id
  }

  /// The link first: a crash in between leaves a pin that differs from its link, which the next start notices.
  private static func replace(
    _ hook: Hook, with next: borrowing BPFProgram, _ pins: PinnedState
  ) throws(BPFError) {
    if pins.hasLink(hook.program) { try PinnedLink.open(pins.link(hook.program)).replace(program: next) }
    try removePin(at: pins.program(hook.program))
    try next.pin(at: pins.program(hook.program))
  }
}
