// Where the kernel's state is pinned, how it appears there in one step, and how all of it goes.

internal import BPF
internal import Glibc
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

  var exists: Bool { Self.isThere(published) }

  func hasLink(_ name: String) -> Bool { Self.isThere(link(name)) }

  /// The names of what is pinned in one of the three directories.
  func names(in part: String) throws(DatapathError) -> [String] { try Self.names(in: "\(published)/\(part)") }

  /// Makes an empty staging directory; what a crash left there was never attached.
  func prepareStaging() throws(DatapathError) {
    try remove(staging)
    try Self.makeDirectory(root, mayExist: true)
    for path in [staging, "\(staging)/maps", "\(staging)/programs", "\(staging)/links"] {
      try Self.makeDirectory(path, mayExist: false)
    }
  }

  /// Makes the staging directory the published one.
  func publish() throws(DatapathError) {
    let rc = unsafe rename(staging, published) < 0 ? errno : 0
    guard rc == 0 else { throw Self.failure("publish", published, rc) }
  }

  /// Ends every attachment, then removes everything; the directory of all instances goes with its last one.
  func removeAll() throws(DatapathError) {
    try remove(published)
    try remove(staging)
    // Others may be there: that it is not empty is no error.
    _ = unsafe rmdir(root)
  }

  /// Removes one tree, links first: an attachment must end before anything that it reads may go.
  private func remove(_ tree: String) throws(DatapathError) {
    guard Self.isThere(tree) else { return }
    for part in ["links", "programs", "maps"] {
      let directory = "\(tree)/\(part)"
      guard Self.isThere(directory) else { continue }
      for name in try Self.names(in: directory) {
        let path = "\(directory)/\(name)"
        do throws(BPFError) {
          if part == "links" { try Self.endLink(path) }
          try removePin(at: path)
        } catch {
          throw DatapathError("remove", path, underlying: error, remedy: "run detach again")
        }
      }
      try Self.removeDirectory(directory)
    }
    try Self.removeDirectory(tree)
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

  private static func isThere(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  private static func makeDirectory(_ path: String, mayExist: Bool) throws(DatapathError) {
    let rc = unsafe mkdir(path, 0o750) < 0 ? errno : 0
    if rc == 0 || mayExist && rc == EEXIST { return }
    throw failure("make directory", path, rc)
  }

  private static func removeDirectory(_ path: String) throws(DatapathError) {
    let rc = unsafe rmdir(path) < 0 ? errno : 0
    guard rc == 0 || rc == ENOENT else { throw failure("remove directory", path, rc) }
  }

  private static func failure(_ operation: String, _ path: String, _ rc: Int32) -> DatapathError {
    DatapathError(operation, path, underlying: KernelError(operation, path, Errno(rawValue: rc)))
  }

  private static func names(in directory: String) throws(DatapathError) -> [String] {
    do throws(DirectoryError) {
      return try directoryEntries(directory).filter { !$0.hasPrefix(".") }
    } catch {
      throw failure("list", directory, error.errno)
    }
  }
}
