// The published table of distributions with what has succeeded them, and which row this host is.

/// A version as numbers, compared number by number: 7.10 comes after 7.9.
struct Version: Comparable, Sendable {
  let numbers: [Int]

  /// `7.9.2009` and the like; nil for what begins with no number.
  init?(_ text: some StringProtocol) {
    let head = text.prefix { $0.isNumber || $0 == "." }
    numbers = head.split(separator: ".").compactMap { Int($0) }
    if numbers.isEmpty { return nil }
  }

  init(_ numbers: [Int]) { self.numbers = numbers }

  static func < (left: Version, right: Version) -> Bool { left.numbers.lexicographicallyPrecedes(right.numbers) }

  /// Without the numbers after the first `count`: 7.9.2009 is a 7.9.
  func cut(_ count: Int) -> Version { Version(Array(numbers.prefix(count))) }
}

/// From one version to another, both included; without an end, everything after it.
struct VersionRange: Sendable {
  let first: Version
  let last: Version?

  /// `7.9`, `8.0-8.3` or `8.4+`.
  init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "-")
    guard let start = parts.first, let first = Version(start) else { return nil }
    self.first = first
    last = text.hasSuffix("+") ? nil : parts.count > 1 ? Version(parts[1]) : first
  }

  func contains(_ version: Version) -> Bool {
    guard version.cut(first.numbers.count) >= first else { return false }
    return last.map { version.cut($0.numbers.count) <= $0 } ?? true
  }

  /// `7.9, 8.0-8.3` as ranges.
  static func list(_ text: String) -> [VersionRange] {
    text.split(separator: ",").compactMap { VersionRange(String($0).trimmed) }
  }
}

/// How a family of distributions installs packages and what it calls those that matter here.
package enum PackageFamily: String, Sendable {
  case debian, redHat, suse, unknown

  /// The command that installs packages; nil where it is not known.
  func install(_ tool: Tool) -> String? {
    switch self {
    case .debian: "apt-get install \(tool.debian)"
    case .redHat: "dnf install \(tool.redHat)"
    case .suse: "zypper install \(tool.suse)"
    case .unknown: nil
    }
  }
}

/// One row of the table.
package struct Distribution: Sendable {
  /// `ID=` of os-release(5).
  package let id: String
  /// What people call it.
  package let name: String
  /// How it installs packages.
  package let family: PackageFamily
  /// The versions of the published list, such as `7.9, 8.0-8.3`; empty for a successor of another distribution.
  package let published: String
  /// The versions that have succeeded them.
  package let successors: String
  /// How to get a newer kernel there, in words.
  let newerKernel: String
  /// The same as a command; nil where it takes more than one.
  var kernelCommand: String?

  /// The table.
  package static let table: [Distribution] = [
    Distribution(
      id: "amzn", name: "Amazon Linux", family: .redHat, published: "2", successors: "2022+",
      newerKernel: "install the newer kernel of its extras", kernelCommand: "amazon-linux-extras install kernel-5.15"),
    Distribution(
      id: "centos", name: "CentOS", family: .redHat, published: "7.9, 8.0-8.3", successors: "8.4+",
      newerKernel: "move to a successor with kernel 5.14 or later, such as CentOS Stream 9"),
    Distribution(
      id: "debian", name: "Debian", family: .debian, published: "9.8", successors: "9.9+",
      newerKernel: "upgrade to Debian 11 or later"),
    Distribution(
      id: "ol", name: "Oracle Linux", family: .redHat, published: "7.5, 7.6", successors: "7.7+",
      newerKernel: "install the Unbreakable Enterprise Kernel 7 (package kernel-uek of Oracle Linux 8 or 9)"),
    Distribution(
      id: "rhel", name: "Red Hat Enterprise Linux", family: .redHat, published: "7.1-7.9, 8.0-8.3", successors: "8.4+",
      newerKernel: "upgrade to RHEL 9 or later"),
    Distribution(
      id: "sles", name: "SUSE Linux Enterprise Server", family: .suse, published: "12.5", successors: "15+",
      newerKernel: "upgrade to SLES 15 SP4 or later"),
    Distribution(
      id: "ubuntu", name: "Ubuntu", family: .debian, published: "16.04, 18.04, 20.04", successors: "22.04+",
      newerKernel: "install the hardware enablement kernel (from 20.04 on), or upgrade to Ubuntu 22.04 or later",
      kernelCommand: "apt-get install linux-generic-hwe-$(lsb_release -rs)"),
    Distribution(
      id: "rocky", name: "Rocky Linux", family: .redHat, published: "", successors: "8+",
      newerKernel: "upgrade to Rocky Linux 9 or later"),
    Distribution(
      id: "almalinux", name: "AlmaLinux", family: .redHat, published: "", successors: "8+",
      newerKernel: "upgrade to AlmaLinux 9 or later"),
    Distribution(
      id: "rhcos", name: "Red Hat CoreOS", family: .redHat, published: "", successors: "4.6+",
      newerKernel: "upgrade the OpenShift cluster"),
  ]

  /// What the published list says of Windows: a row of its own, which this program for Linux cannot check.
  package static let windows = "Windows Server 2012 R2, 2016, 2019"
}

/// Which distribution a host is, as its files say.
struct HostDistribution: Sendable {
  /// `ID=` of os-release.
  let id: String
  /// `ID_LIKE=`.
  let like: [String]
  /// What the file calls it, such as `Debian GNU/Linux 12 (bookworm)`.
  let prettyName: String
  /// The version with its minor number where a file tells it; nil for a rolling release.
  let version: Version?
  /// Where the version is from.
  let source: String

  var row: Distribution? { Distribution.table.first { $0.id == id } }

  var family: PackageFamily {
    if let row { return row.family }
    for name in [id] + like {
      if let row = Distribution.table.first(where: { $0.id == name }) { return row.family }
      if name == "fedora" { return .redHat }
      if name.hasPrefix("suse") || name.hasPrefix("opensuse") { return .suse }
    }
    return .unknown
  }
}

extension HostView {
  /// The distribution by os-release(5); the minor version by the file that the distribution keeps for it.
  var distribution: Look<HostDistribution> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
      switch text(path) {
      case .absent: continue
      case .unseen(let why): return .unseen(why)
      case .seen(let text):
        let values = Self.assignments(text)
        guard let id = values["ID"]?.lowercased(), !id.isEmpty else {
          return .unseen("\(path) has no ID=: it is not in the form of os-release(5)")
        }
        var version = values["VERSION_ID"].flatMap { Version($0) }
        var source = path
        // CentOS and Debian tell the minor release elsewhere.
        let precise = ["centos": "/etc/centos-release", "debian": "/etc/debian_version"][id]
        if let precise, let line = self.text(precise).value,
          let finer = line.split(separator: " ").lazy.compactMap({ Version($0) }).first,
          version.map({ finer.cut($0.numbers.count) == $0 }) ?? false
        {
          version = finer
          source = precise
        }
        return .seen(
          HostDistribution(
            id: id, like: (values["ID_LIKE"] ?? "").lowercased().split(separator: " ").map(String.init),
            prettyName: values["PRETTY_NAME"] ?? values["NAME"] ?? id, version: version, source: source))
      }
    }
    return .absent
  }

  var packageFamily: PackageFamily { distribution.value?.family ?? .unknown }

  /// `KEY=value` lines, quotes removed; what is no assignment is ignored.
  static func assignments(_ text: String) -> [String: String] {
    var values: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = String(line).trimmed.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].hasPrefix("#") else { continue }
      var value = parts[1][...]
      for quote in ["\"", "'"] where value.hasPrefix(quote) && value.hasSuffix(quote) && value.count > 1 {
        value = value.dropFirst().dropLast()
        break
      }
      values[String(parts[0])] = String(value)
    }
    return values
  }
}

/// What the table says of a host.
func judgeDistribution(_ host: HostView) -> Finding {
  let how = "ID and VERSION_ID of /etc/os-release"
  let found: HostDistribution
  switch host.distribution {
  case .unseen(let why): return .unknown(why, how: how)
  case .absent:
    return .warn(
      "no os-release file", how: how, meaning: "which distribution this is cannot be told; the other checks count",
      remedy: "install the distribution's release package")
  case .seen(let value): found = value
  }
  let read = "\(found.id) \(found.version.map { $0.numbers.map(String.init).joined(separator: ".") } ?? "(no version)")"
  let details = [found.prettyName, "version from \(found.source)"]
  guard let row = found.row else {
    return .warn(
      "\(found.prettyName)", how: how,
      meaning:
        "it is not in the published table; whether its kernel takes what Sallyport needs is tried by the other checks",
      remedy: "none is needed if the checks of a datapath pass", details: details)
  }
  guard let version = found.version else {
    return .pass("\(found.prettyName): a rolling release, after every published one", how: how, details: details)
  }
  let published = VersionRange.list(row.published)
  if published.contains(where: { $0.contains(version) }) {
    return .pass(
      "\(row.name) \(read.dropFirst(found.id.count + 1)): in the published table", how: how, details: details)
  }
  // A stream has no minor releases: it runs ahead of the release that it has the number of.
  let isStream = found.prettyName.contains("Stream")
  let after = VersionRange.list(row.successors)
  if isStream || after.contains(where: { $0.contains(version) }) && !row.isInterim(version) {
    let whom = row.published.isEmpty ? "a successor of CentOS or RHEL" : "succeeds \(row.published)"
    return .pass("\(found.prettyName): \(whom)", how: how, details: details)
  }
  let oldest = (published.isEmpty ? after : published).map(\.first).min()
  guard let oldest, version < oldest, version.cut(oldest.numbers.count) < oldest,
    version.numbers.count >= oldest.numbers.count || version.numbers[0] < oldest.numbers[0]
  else {
    return .warn(
      "\(row.name) \(read.dropFirst(found.id.count + 1))", how: how,
      meaning:
        "the published table has \(row.name) \(row.published), and \(row.successors) succeeds it; this is neither",
      remedy: "use a release of the table; the other checks say what this one's kernel takes", details: details)
  }
  return .fail(
    "\(row.name) \(read.dropFirst(found.id.count + 1)): older than every published release", how: how,
    meaning: "its kernel and its tools are older than anything Sallyport was made for",
    remedy: "upgrade to \(row.name) \(row.successors.isEmpty ? row.published : row.successors)", details: details)
}

extension Distribution {
  /// Releases of Ubuntu between those with long support are in no table.
  fileprivate func isInterim(_ version: Version) -> Bool {
    guard id == "ubuntu", version.numbers.count > 1 else { return false }
    return version.numbers[0] % 2 == 1 || version.numbers[1] != 4
  }
}
