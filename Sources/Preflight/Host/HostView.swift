// A host as its files show it: below a root directory, so that a recorded tree can stand for another machine.
package import Kernel
internal import SystemPackage

/// What can be read of a host without changing it.
package struct HostView: Sendable {
  /// Empty for the machine itself, else a directory that stands for its root.
  package let root: String
  /// The architecture, such as `x86_64`.
  package var machine: String
  /// The effective user who asks.
  package var user: UInt32
  /// What the asking thread may do.
  package var capabilities: Look<CapabilitySets>
  /// Whether the clock is kept in time.
  package var clock: Look<ClockState>
  /// Variables of the environment that say where files are: KUBECONFIG and HOME.
  package var environment: [String: String]
  /// Whether what bounds the agent's unit counts; it does not for who asks for this very process.
  package var asksUnit = true
  private let memory = HostMemory()

  /// The machine on which this runs.
  package static func current(environment: [String: String] = [:]) -> HostView {
    HostView(
      root: "", machine: HostIdentity.machine, user: HostIdentity.effectiveUser,
      capabilities: read(CapabilitySets.current),
      clock: read(ClockState.current), environment: environment)
  }

  /// A tree of recorded files; what no file tells is given.
  package init(
    root: String, machine: String = "x86_64", user: UInt32 = 0,
    capabilities: Look<CapabilitySets> = .unseen("nothing was recorded"),
    clock: Look<ClockState> = .unseen("nothing was recorded"), environment: [String: String] = [:]
  ) {
    self.root = root == "/" ? "" : root
    self.machine = machine
    self.user = user
    self.capabilities = capabilities
    self.clock = clock
    self.environment = environment
  }

  private static func read<T>(_ body: () throws(KernelError) -> T) -> Look<T> {
    do throws(KernelError) { return .seen(try body()) } catch { return .unseen(error.description) }
  }

  // MARK: Files

  /// The text of a file, at most 4 MiB unless it is one of the kernel's.
  package func text(_ path: String) -> Look<String> {
    do throws(KernelError) {
      let bytes =
        isKernels(path)
        ? try readKernelBytes(FilePath(root + path)) : try readRegularFile(root + path, limit: 4 << 20)
      return .seen(String(decoding: bytes, as: UTF8.self))
    } catch {
      return missing(path, error)
    }
  }

  /// The lines of a file, without the empty ones.
  package func lines(_ path: String) -> Look<[Substring]> {
    text(path).map { text in text.split(separator: "\n") }
  }

  /// The names in a directory.
  package func names(_ path: String) -> Look<[String]> {
    do throws(KernelError) { return .seen(try directoryNames(root + path)) } catch { return missing(path, error) }
  }

  /// Whether something is there and can be reached.
  package func isThere(_ path: String) -> Bool { Kernel.isThere(root + path) }

  /// What a symbolic link says; nil if there is none, or it may not be read.
  func link(_ path: String) -> String? { readLink(FilePath(root + path))?.string }

  /// Whether capabilities count in a user namespace alone, and not for the host; nil where no /proc tells.
  var isInUserNamespace: Bool? {
    // The first one maps every user to itself (user_namespaces(7)); in one without a map the file is empty.
    text("/proc/self/uid_map").value.map { $0.split(whereSeparator: \.isWhitespace) != ["0", "0", "4294967295"] }
  }

  /// Why none of some paths can be said not to be there; nil if that can be said of all.
  func hidden(_ paths: [String]) -> String? {
    for path in paths {
      do throws(KernelError) { _ = try FileKind.at(root + path) } catch {
        if case .unseen(let why) = missing(path, error) as Look<Void> { return why }
      }
    }
    return nil
  }

  private func isKernels(_ path: String) -> Bool { path.hasPrefix("/proc/") || path.hasPrefix("/sys/") }

  /// That a file of /proc is missing says nothing where /proc is.
  private func missing<T>(_ path: String, _ error: KernelError) -> Look<T> {
    guard [.noSuchFileOrDirectory, .notDirectory].contains(error.errno) else {
      return .unseen("\(error.operation) \(path): \(KernelError.describe(error.errno))")
    }
    if path.hasPrefix("/proc"), let problem = procProblem { return .unseen(problem) }
    if path.hasPrefix("/sys/"), !isThere("/sys/kernel") { return .unseen("no /sys is mounted") }
    return .absent
  }

  /// Why /proc tells nothing about this process, or nil.
  var procProblem: String? {
    if isThere("/proc/self/status") { return nil }
    if isThere("/proc/version") { return "the /proc that is mounted is of another pid namespace" }
    return "no /proc is mounted"
  }

  // MARK: What several checks ask

  /// The release of the kernel, such as `6.1.0-18-amd64`.
  var release: Look<String> { text("/proc/sys/kernel/osrelease").map(\.trimmed) }

  /// The first numbers of the release; empty if they are not known.
  var kernelVersion: [Int] {
    let numbers = release.value?.split { !$0.isNumber && $0 != "." }.first ?? ""
    return numbers.split(separator: ".").prefix(2).compactMap { Int($0) }
  }

  /// The lists of kernel modules; read once.
  var modules: ModuleIndex { memory.modules(self) }

  /// Every mount that this process sees.
  var mounts: Look<[FilesystemMount]> {
    text("/proc/self/mountinfo").map { FilesystemMount.parse(mountinfo: Array($0.utf8)) }
  }
}
