// What a run makes in the kernel and in the file system: a cgroup subtree, a network namespace, state directories.

internal import BPF
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage

/// A place for one run; `remove()` leaves nothing of it.
final class Arena: Sendable {
  /// Where the contestants are attached; below the hierarchy's root, never the root itself.
  let cgroup: CgroupDirectory
  /// Sockets that connect are made here.
  let client: CgroupDirectory
  /// Sockets that listen are made here.
  let server: CgroupDirectory
  /// Programs in user space that a contestant needs: their time is its own.
  let helpers: CgroupDirectory
  private let name: String

  private static let prefix = "sallyport-bench-"

  init() throws {
    guard getuid() == 0 else { throw KernelError("measure", "the kernel", .notPermitted, remedy: "run as root") }
    try BPFFilesystem.standard.require()
    Self.sweep()
    name = "\(Self.prefix)\(getpid())"
    cgroup = try CgroupHierarchy.find().root().create(Self.component(name))
    client = try cgroup.create(Self.component("client"))
    server = try cgroup.create(Self.component("server"))
    helpers = try cgroup.create(Self.component("helpers"))
  }

  private static func component(_ name: String) throws(KernelError) -> FilePath.Component {
    guard let component = FilePath.Component(name) else { throw KernelError("name", name, .invalidArgument) }
    return component
  }

  /// The cgroup's path in the file system.
  var cgroupLocation: String { (cgroup.hierarchy.location(of: cgroup.path) ?? cgroup.path).string }

  /// A state directory of its own for one enforcer.
  func state(_ instance: String) -> StateDirectory { StateDirectory("/run/\(name)-\(instance)") }

  /// A network namespace of its own, with its loopback interface up.
  func makeNamespace() throws -> NetworkNamespace {
    let namespace = try NetworkNamespace.anonymous()
    try SystemProgram("ip", package: "iproute2").run(["link", "set", "lo", "up"], in: namespace)
    return namespace
  }

  /// Removes everything; the enforcers must have detached.
  func remove() {
    Self.remove(cgroup, name)
  }

  private static func remove(_ cgroup: CgroupDirectory, _ name: String) {
    try? cgroup.kill()
    do { try cgroup.remove() } catch { complain(error) }
    for directory in (try? directoryNames("/run")) ?? [] where directory.hasPrefix("\(name)-") {
      let state = StateDirectory("/run/\(directory)")
      do { _ = try KernelState.remove(state: state) } catch { complain(error) }
      for file in [state.lock, state.snapshot, state.flows, state.controlSocket] { try? removeFile(file) }
      do { try removeDirectory(state.path) } catch { complain(error) }
    }
  }

  private static func complain(_ error: any Error) { writeError("sallyport-bench: clean up: \(error)\n") }

  /// Removes what runs have left that were killed.
  private static func sweep() {
    guard let root = try? CgroupHierarchy.find().root(), let names = try? root.childNames() else { return }
    for name in names where name.string.hasPrefix(prefix) {
      guard let pid = Int32(name.string.dropFirst(prefix.count)), kill(pid, 0) != 0, errno == ESRCH,
        let left = try? root.child(name)
      else { continue }
      remove(left, name.string)
    }
  }
}

/// Writes to standard error.
func writeError(_ text: String) {
  let bytes = Array(text.utf8)
  _ = unsafe bytes.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
}
