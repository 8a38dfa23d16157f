// Programs and libraries of others: where they are and which version, asked of themselves.
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// A program or library of the published list, or one that a check needs.
package enum Tool: String, Sendable, CaseIterable {
  case iptables, ip6tables, ipset, conntrack, libelf, modprobe, openssl, kubelet

  /// The names of its program, the first one that is there counts: the datapath takes iptables under any of its names.
  var names: [String] {
    switch self {
    case .iptables, .ip6tables: [rawValue, "\(rawValue)-nft", "\(rawValue)-legacy"]
    default: [rawValue]
    }
  }

  /// The package of Debian and Ubuntu.
  var debian: String {
    switch self {
    case .iptables, .ip6tables: "iptables"
    case .libelf: "libelf1"
    case .modprobe: "kmod"
    default: rawValue
    }
  }

  /// The package of RHEL and its kin.
  var redHat: String {
    switch self {
    case .iptables, .ip6tables: "iptables-nft"
    case .conntrack: "conntrack-tools"
    case .libelf: "elfutils-libelf"
    case .modprobe: "kmod"
    default: rawValue
    }
  }

  /// The package of SLES.
  var suse: String {
    switch self {
    case .iptables, .ip6tables: "iptables"
    case .conntrack: "conntrack-tools"
    case .libelf: "libelf1"
    case .modprobe: "kmod"
    default: rawValue
    }
  }
}

/// What a tool said of itself.
package struct ToolFact: Sendable, Equatable {
  /// Where it is.
  package let path: String
  /// Its first line when asked for its version; empty with `fault`.
  package let version: String
  /// Why it cannot be run; nil if it can.
  package let fault: String?

  /// States what a tool said.
  package init(path: String, version: String, fault: String? = nil) {
    self.path = path
    self.version = version
    self.fault = fault
  }
}

extension Probe {
  /// Finds every tool and asks for its version.
  static let tools = Probe("tools", within: .seconds(5)) {
    $0.tools = $1
  } _: {
    var found: [Tool: ToolFact] = [:]
    for tool in Tool.allCases where tool != .libelf { found[tool] = ask(tool) }
    found[.libelf] = loadedLibrary("libelf")
    return found
  }

  private static func ask(_ tool: Tool) -> ToolFact? {
    let places = RuleTrial.directories + ["/usr/local/bin", "/var/lib/rancher/rke2/bin", "/opt/bin"]
    let paths = tool.names.flatMap { name in places.map { "\($0)/\(name)" } }
    guard let path = paths.first(where: { isThere($0) }) else { return nil }
    let words = tool == .openssl ? ["version"] : ["--version"]
    do throws(KernelError) {
      let said = try CapturedProcess.run(
        FilePath(path), words, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"], within: .seconds(2))
      let line = (said.output + said.errors).split(separator: "\n").first.map { String($0).trimmed }
      let ending = "it ended with \(said.status): \(line ?? "no word")"
      // A shell's codes for what it cannot start, and signals.
      if said.status > 125 { return ToolFact(path: path, version: "", fault: ending) }
      // Some ask the kernel something too, which not every user may.
      guard said.status == 0 || line?.hasPrefix("\(tool.rawValue) v") == true, let line else {
        return ToolFact(path: path, version: ending)
      }
      return ToolFact(path: path, version: line)
    } catch {
      let fault =
        error.errno == .timedOut
        ? "it did not tell its version within 2 s" : "\(error.operation): \(KernelError.describe(error.errno))"
      return ToolFact(path: path, version: "", fault: fault)
    }
  }

  /// A library that this process has loaded: the file that it is mapped from has the version in its name.
  private static func loadedLibrary(_ name: String) -> ToolFact? {
    guard let maps = try? readKernelFile("/proc/self/maps") else {
      return ToolFact(path: "unknown", version: "loaded, or this process would not run")
    }
    for line in maps.split(separator: "\n") {
      guard let slash = line.firstIndex(of: "/") else { continue }
      let path = String(line[slash...])
      let file = path.split(separator: "/").last ?? ""
      if file.hasPrefix("\(name)-") || file.hasPrefix("\(name).so") {
        return ToolFact(path: path, version: String(file))
      }
    }
    return ToolFact(path: "/proc/self/exe", version: "linked into this program")
  }
}
