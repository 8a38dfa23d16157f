// Where the kernel's state is pinned, how it appears there in one step, and how all of it goes.

internal import BPF
internal import Kernel
internal import SystemPackage

/// The directory of one instance on a BPF file system: `maps`, `programs`, `links`.
struct PinnedState: Sendable, Equatable {
  /// The directory of all instances.
  let root: String
  /// This instance's name; see `StateDirectory.instance`.
  let instance: String

  /// Which programs these are.
  let kind: DatapathKind

  init(bpffs: String, state: StateDirectory, kind: DatapathKind) {
    root = "\(bpffs)/sallyport"
    // An escaped path holds no `+`, so this is no other instance's name.
    instance = state.instance + (kind == .netfilter ? "+netfilter" : "")
    self.kind = kind
  }

  private init(root: String, instance: String, kind: DatapathKind) {
    self.root = root
    self.instance = instance
    self.kind = kind
  }

  /// The instance with a name, as it stands in the directory of all.
  init(root: String, instance: String) {
    self.init(root: root, instance: instance, kind: instance.contains("+netfilter") ? .netfilter : .cgroup)
  }

  /// The BPF file system.
  var bpffs: String { String(root.dropLast("/sallyport".count)) }

  /// Where programs of another version enforce until these do.
  var former: PinnedState { PinnedState(root: root, instance: instance + "+former", kind: kind) }

  /// The instance that rules are named after: those of a former set have the name of what comes after it.
  var rulesInstance: String { instance.hasSuffix("+former") ? String(instance.dropLast("+former".count)) : instance }

  /// The ABI version of what is pinned; nil if it does not say.
  func version() throws(DatapathError) -> UInt32? {
    do throws(BPFError) { return try firstWord(ofMapAt: map(Self.configName)) } catch {
      throw DatapathError("read version of", published, underlying: error, remedy: error.remedy)
    }
  }

  /// Gives what is pinned its former's name: it goes on enforcing, and this name is free.
  func setAside() throws(DatapathError) {
    try Self.step { () throws(KernelError) in try move(published, to: former.published) }
  }

  /// The kernel's numbers of the programs that links run.
  var linkedPrograms: [UInt32] {
    let names = (try? names(in: "links")) ?? []
    return names.compactMap { try? PinnedLink.open(link($0)).info().programID }
  }

  /// Where the other kind of datapath is pinned for the same state directory.
  var ofOtherKind: PinnedState {
    let plain = kind == .netfilter ? String(instance.dropLast("+netfilter".count)) : instance
    return PinnedState(root: root, instance: kind == .netfilter ? plain : plain + "+netfilter", kind: kind.other)
  }

  /// What readers and successors look at.
  var published: String { "\(root)/\(instance)" }
  /// Where it is built.
  var staging: String { "\(root)/\(instance)+staging" }

  func map(_ name: String) -> String { "\(published)/maps/\(name)" }
  func program(_ name: String) -> String { "\(published)/programs/\(name)" }
  func link(_ name: String) -> String { "\(published)/links/\(name)" }

  /// The name under which the programs' configuration is pinned.
  static let configName = pin(of: ".rodata.config")

  /// The name under which a section of read-only data is pinned.
  static func pin(of section: String) -> String {
    switch section {
    case ".rodata.config": "sp_config"
    case ".rodata.mark": "sp_mark_config"
    default: "sp_nf_config"
    }
  }

  /// Which object the programs are from.
  var object: EmbeddedObject {
    switch kind {
    case .cgroup: .cgroup
    case .netfilter: isThere(map("sp_marks")) ? .netfilterMark : .netfilter
    }
  }

  /// How the programs of the netfilter datapath learn whose packet it is.
  var view: NetfilterView? { object.view }

  var exists: Bool { isThere(published) }

  func hasLink(_ name: String) -> Bool { isThere(link(name)) }

  /// The names of what is pinned in one of the three directories.
  func names(in part: String) throws(DatapathError) -> [String] {
    try Self.step { () throws(KernelError) in
      isThere("\(published)/\(part)") ? try directoryNames("\(published)/\(part)") : []
    }
  }

  /// Makes an empty staging directory; what a crash left there was never attached.
  func prepareStaging() throws(DatapathError) {
    try remove(staging)
    try Self.step { () throws(KernelError) in
      try makeDirectory(root, mayExist: true)
      for path in [staging, "\(staging)/maps", "\(staging)/programs", "\(staging)/links"] {
        try makeDirectory(path)
      }
    }
  }

  /// Makes the staging directory the published one.
  func publish() throws(DatapathError) {
    try Self.step { () throws(KernelError) in try move(staging, to: published) }
  }

  /// The cgroup that this state polices; nil if that is gone, or nothing is attached.
  func policedCgroup() throws(DatapathError) -> CgroupID? {
    switch kind {
    case .cgroup: try linkedCgroup()
    case .netfilter: try NetfilterDatapath.policedCgroup(self)
    }
  }

  /// The cgroup of the links.
  private func linkedCgroup() throws(DatapathError) -> CgroupID? {
    var found: CgroupID?
    for name in try names(in: "links") {
      do throws(BPFError) {
        // A cgroup that was removed ended its links.
        if let id = try PinnedLink.open(link(name)).info().cgroupID { found = CgroupID(rawValue: id) }
      } catch {
        throw DatapathError("open link", link(name), underlying: error)
      }
    }
    return found
  }

  /// The programs that should be attached and are not.
  func missingAttachments() throws(DatapathError) -> [String] {
    switch kind {
    case .cgroup:
      var missing: [String] = []
      for name in object.programs {
        do throws(BPFError) {
          if hasLink(name), try PinnedLink.open(link(name)).info().cgroupID != nil { continue }
        } catch {
          throw DatapathError("open link", link(name), underlying: error)
        }
        missing.append(name)
      }
      return missing
    case .netfilter: return try NetfilterDatapath.missingAttachments(self)
    }
  }

  /// Ends enforcement by whatever is attached, and removes everything.
  func end() throws(DatapathError) {
    if kind == .netfilter, exists { try NetfilterDatapath.removeRules(self) }
    try removeAll()
  }

  /// Ends every attachment, then removes everything; the directory of all instances goes with its last one.
  func removeAll() throws(DatapathError) {
    try remove(published)
    try remove(staging)
    // Others may be there: that it is not empty is no error.
    try? removeDirectory(root)
  }

  /// Removes what a start that was ended left half-made.
  func removeStaging() throws(DatapathError) { try remove(staging) }

  /// Removes one tree, links first: an attachment must end before anything that it reads may go.
  private func remove(_ tree: String) throws(DatapathError) {
    guard isThere(tree) else { return }
    for part in ["links", "programs", "maps"] {
      let directory = "\(tree)/\(part)"
      guard isThere(directory) else { continue }
      for name in try Self.step({ () throws(KernelError) in try directoryNames(directory) }) {
        let path = "\(directory)/\(name)"
        do throws(BPFError) {
          if part == "links" { try Self.endLink(path) }
          try removePin(at: path)
        } catch {
          throw DatapathError("remove", path, underlying: error, remedy: "run detach again")
        }
      }
      try Self.step { () throws(KernelError) in try removeDirectory(directory) }
    }
    try Self.step { () throws(KernelError) in try removeDirectory(tree) }
  }

  private static func endLink(_ path: String) throws(BPFError) {
    let link = try PinnedLink.open(path)
    do throws(BPFError) {
      try link.detach()
    } catch {
      // A link whose cgroup is gone is detached already.
      let info = try link.info()
      if info.cgroupID != nil { throw error }
    }
  }

  /// Runs a step of this file and says which one failed.
  private static func step<T>(_ body: () throws(KernelError) -> T) throws(DatapathError) -> T {
    do throws(KernelError) {
      return try body()
    } catch {
      throw DatapathError(
        error.operation, error.subject, reason: KernelError.describe(error.errno), underlying: error,
        remedy: error.remedy)
    }
  }
}
