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

  init(bpffs: String, state: StateDirectory) {
    root = "\(bpffs)/sallyport"
    instance = state.instance
  }

  /// What readers and successors look at.
  var published: String { "\(root)/\(instance)" }
  /// Where it is built; an escaped path holds no `+`, so this is no other instance's name.
  var staging: String { "\(root)/\(instance)+staging" }

  func map(_ name: String) -> String { "\(published)/maps/\(name)" }
  func program(_ name: String) -> String { "\(published)/programs/\(name)" }
  func link(_ name: String) -> String { "\(published)/links/\(name)" }

  /// The name under which the programs' configuration is pinned.
  static let configName = "sp_config"

  var exists: Bool { isThere(published) }

  func hasLink(_ name: String) -> Bool { isThere(link(name)) }

  /// The names of what is pinned in one of the three directories.
  func names(in part: String) throws(DatapathError) -> [String] {
    try Self.step { () throws(KernelError) in
      try directoryNames("\(published)/\(part)")
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

  /// Ends every attachment, then removes everything; the directory of all instances goes with its last one.
  func removeAll() throws(DatapathError) {
    try remove(published)
    try remove(staging)
    // Others may be there: that it is not empty is no error.
    try? removeDirectory(root)
  }

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
