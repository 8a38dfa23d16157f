// Which modules a kernel has built in, has loaded, or could load, as its lists tell.
internal import Kernel
internal import Synchronization

/// Where a module is.
enum ModulePlace: Equatable, Sendable {
  /// Part of the kernel.
  case builtIn(String)
  /// In the kernel now.
  case loaded(String)
  /// A file that modprobe(8) can load.
  case onDisk(String, file: String)
  /// In none of the lists.
  case absent
  /// There is no list to look in, and why.
  case unknown(String)
}

/// The lists of modules of a host.
struct ModuleIndex: Sendable {
  private var builtIn: Set<String> = []
  private var loaded: Set<String> = []
  private var files: [String: String] = [:]
  /// Why the files of the kernel's modules are not known; nil if they are.
  private var missing: String?
  /// Modules that modprobe is told not to load, and the file that says so.
  private(set) var barred: [String: String] = [:]
  /// That nothing can be loaded any more, whatever lies on the disk.
  private(set) var isSealed = false

  /// Reads `modules.builtin`, `modules.dep`, /proc/modules and modprobe.d(5).
  init(_ host: HostView) {
    loaded = Set(
      (host.lines("/proc/modules").value ?? []).compactMap { $0.split(separator: " ").first.map(String.init) })
    isSealed = host.text("/proc/sys/kernel/modules_disabled").value?.trimmed == "1"
    guard case .seen(let release) = host.release else {
      missing = host.release.obstacle ?? "the kernel's release is not known"
      return
    }
    let places = ["/lib/modules/\(release)", "/usr/lib/modules/\(release)"]
    guard let directory = places.first(where: { host.isThere("\($0)/modules.dep") }) else {
      missing = "there is no /lib/modules/\(release)"
      return
    }
    for line in host.lines("\(directory)/modules.builtin").value ?? [] { builtIn.insert(Self.name(of: line)) }
    for line in host.lines("\(directory)/modules.dep").value ?? [] {
      let file = line.prefix { $0 != ":" }
      files[Self.name(of: file)] = "\(directory)/\(file)"
    }
    for folder in ["/usr/lib/modprobe.d", "/lib/modprobe.d", "/run/modprobe.d", "/etc/modprobe.d"] {
      for name in host.names(folder).value ?? [] where name.hasSuffix(".conf") {
        for line in host.lines("\(folder)/\(name)").value ?? [] {
          let words = line.split(separator: " ").map(String.init)
          guard words.count >= 3, words[0] == "install",
            ["/bin/true", "/bin/false"].contains(where: words[2].hasSuffix)
          else { continue }
          barred[Self.plain(words[1])] = "\(folder)/\(name)"
        }
      }
    }
  }

  /// `kernel/net/netfilter/xt_bpf.ko.xz` is called xt_bpf; a hyphen and an underscore are the same.
  private static func name(of file: some StringProtocol) -> String {
    let last = String(file).split(separator: "/" as Character).last ?? ""
    return plain(String(last.prefix { $0 != "." }))
  }

  private static func plain(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }

  /// Where a module is under any of its names; the first of them that is somewhere counts.
  func place(of names: [String]) -> ModulePlace {
    if let name = names.first(where: loaded.contains) { return .loaded(name) }
    if let name = names.first(where: builtIn.contains) { return .builtIn(name) }
    for name in names { if let file = files[name] { return .onDisk(name, file: file) } }
    return missing.map { .unknown($0) } ?? .absent
  }

  /// Whether using it would load it.
  func isOnDiskAlone(_ names: [String]) -> Bool {
    if case .onDisk = place(of: names) { return true }
    return false
  }
}

/// What is read once of a host although many checks ask for it.
final class HostMemory: Sendable {
  private let index = Mutex<ModuleIndex?>(nil)

  func modules(_ host: HostView) -> ModuleIndex {
    index.withLock { known in
      let index = known ?? ModuleIndex(host)
      known = index
      return index
    }
  }
}
