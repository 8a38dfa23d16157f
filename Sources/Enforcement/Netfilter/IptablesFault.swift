// What iptables means when it fails: the rule, the module or the process that stands in the way, and the remedy.
internal import Kernel
internal import SystemPackage

/// A run of iptables that failed.
struct IptablesFault {
  let family: IPFamily
  let backend: IptablesBackend
  let namespace: NetworkNamespace
  let said: CapturedProcess
  /// What it was to do.
  let text: String
  let tools: Iptables

  init(
    _ family: IPFamily, _ backend: IptablesBackend, _ namespace: NetworkNamespace, _ said: CapturedProcess,
    text: String, tools: Iptables
  ) {
    self.family = family
    self.backend = backend
    self.namespace = namespace
    self.said = said
    self.text = text
    self.tools = tools
  }

  /// What an error's remedy is where this process may not ask the kernel.
  static let privileges = "CAP_NET_ADMIN and CAP_NET_RAW are needed in that namespace"
  /// How an error's reason begins where another process holds the lock.
  static let lockHeld = "the xtables lock is held"

  private var command: String { "\(family == .ipv4 ? "iptables" : "ip6tables")-\(backend)" }

  /// The failure in our words; what iptables said itself is always in it.
  func error(_ operation: String) -> DatapathError {
    let (cause, remedy) = explanation
    let words = said.errors.split(separator: "\n").map { $0.drop { $0 == " " } }.filter {
      !$0.isEmpty && !$0.hasPrefix("Try `") && !$0.hasPrefix("# Warning") && !$0.hasPrefix("Error occurred at line")
    }
    let told = words.isEmpty ? "exit code \(said.status)" : words.joined(separator: " | ")
    return DatapathError(
      operation, "\(namespace.description) by \(command)", reason: cause.map { "\($0): \(told)" } ?? told,
      remedy: remedy)
  }

  private var explanation: (cause: String?, remedy: String?) {
    let words = said.errors
    if words.contains("holding the xtables lock") || words.contains("lock /") {
      return (
        Self.lockHeld + (lockHolder.map { " by \($0)" } ?? ""),
        "wait until it is done, or end it; \(tools.lockWait.components.seconds) s were waited"
      )
    }
    for kind in ["match", "target"] {
      guard let name = word(after: "load \(kind) `", until: "'") else { continue }
      return (
        "\(ruleText(naming: name))iptables has no \(kind) \(name): libxt_\(name).so is missing",
        "install the package iptables whole"
      )
    }
    // Without its library a target is taken for a chain, which has no options.
    if words.contains("unknown option"), let rule = failedRule, let target = Self.word(after: "-j", in: rule) {
      let prefix = family == .ipv4 ? "libipt" : "libip6t"
      return (
        "rule '\(rule)': iptables has no target \(target): \(prefix)_\(target).so is missing",
        "install the package iptables whole"
      )
    }
    if words.contains("failed to get bpf object") {
      return (
        "\(ruleText(naming: "bpf"))the program is not pinned there, or no program of type socket filter",
        "restart the agent, which pins it"
      )
    }
    if words.contains("Permission denied") || words.contains("you must be root") {
      return (nil, Self.privileges)
    }
    // A kernel without the extension or the table fails the chains as well: what it names itself comes first.
    if let name = refusedExtension { return missing(name) }
    if words.contains("TABLE_ADD failed") { return missingTable }
    if words.contains("CHAIN_ADD failed") || said.isIncompatible {
      return (
        "its table filter holds chains or rules made by nft, which iptables cannot work with",
        "choose the variant legacy, or move them into a table of their own"
      )
    }
    if let name = unlistedExtension { return missing(name) }
    if words.contains("initialize table") || words.contains("can't initialize") || words.contains("Table does not") {
      return missingTable
    }
    if let path = missingCgroup {
      return ("the kernel refuses a rule: the cgroup \(path) is gone", "list the workloads again")
    }
    if let rule = failedRule {
      return ("the kernel refuses '\(rule)'", nil)
    }
    return (nil, nil)
  }

  // MARK: Extensions

  private typealias Extension = (kind: String, name: String)

  private func missing(_ found: Extension) -> (cause: String?, remedy: String?) {
    (
      "\(ruleText(naming: found.name))the kernel has no \(found.kind) \(found.name)",
      "load the module \(module(of: found.name)) (package linux-modules or kernel-modules of this kernel)"
    )
  }

  private var missingTable: (cause: String?, remedy: String?) {
    let prefix = family == .ipv4 ? "ip" : "ip6"
    let module = backend == .legacy ? "\(prefix)table_filter" : "nf_tables and nft_compat"
    return ("there is no table filter", "load the module \(module) (package linux-modules of this kernel)")
  }

  /// The extension that iptables names in a warning because the kernel refused it.
  private var refusedExtension: Extension? {
    guard said.errors.contains("missing kernel module?"), let name = word(after: "Extension ", until: " ") else {
      return nil
    }
    return (name.first?.isUppercase == true ? "target" : "match", name)
  }

  /// The first extension of the rules that is not in the kernel's lists in /proc.
  private var unlistedExtension: Extension? {
    let prefix = family == .ipv4 ? "ip" : "ip6"
    for (kind, flag, file) in [("match", "-m", "matches"), ("target", "-j", "targets")] {
      guard let list = try? readKernelFile(FilePath("/proc/net/\(prefix)_tables_\(file)")) else { continue }
      let known = Set(list.split(separator: "\n"))
      for name in extensions(after: flag) where !known.contains(Substring(name)) { return (kind, name) }
    }
    return nil
  }

  /// The extensions that the transaction's rules use; chains and verdicts are none.
  private func extensions(after flag: String) -> [String] {
    var found: [String] = []
    for line in text.split(separator: "\n") where line.hasPrefix("-A ") || line.hasPrefix("-I ") {
      let words = line.split(separator: " ")
      for (word, next) in zip(words, words.dropFirst()) where word == flag {
        guard !["ACCEPT", "DROP", "RETURN"].contains(next), !next.hasPrefix("SP-") else { continue }
        if !found.contains(String(next)) { found.append(String(next)) }
      }
    }
    return found
  }

  private func module(of name: String) -> String {
    switch name {
    case "REJECT": family == .ipv4 ? "ipt_REJECT" : "ip6t_REJECT"
    case "conntrack", "state": "xt_conntrack"
    default: "xt_\(name.lowercased())"
    }
  }

  // MARK: Rules

  /// The line of the transaction that iptables names.
  private var failedRule: String? {
    for start in ["Error occurred at line: ", "line "] {
      guard let number = word(after: start, until: "\n:; ").flatMap({ Int($0) }) else { continue }
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      guard number > 0, number <= lines.count, lines[number - 1] != "COMMIT" else { return nil }
      return String(lines[number - 1])
    }
    return nil
  }

  private static func word(after flag: String, in rule: String) -> String? {
    let words = rule.split(separator: " ")
    guard let place = words.firstIndex(of: Substring(flag)), place + 1 < words.count else { return nil }
    return String(words[place + 1])
  }

  /// `rule '…': `, the first rule that uses an extension.
  private func ruleText(naming name: String) -> String {
    let rule = text.split(separator: "\n").first { $0.contains("-m \(name) ") || $0.contains("-j \(name)") }
    return rule.map { "rule '\($0)': " } ?? ""
  }

  /// What stands between two marks in what iptables said; `until` is a set of characters.
  private func word(after start: String, until: String) -> String? {
    guard let place = said.errors.firstRange(of: start) else { return nil }
    let word = said.errors[place.upperBound...].prefix { !until.contains($0) }
    return word.isEmpty ? nil : String(word)
  }

  /// The first cgroup of the transaction that is not there: the kernel looks them up when a rule is made.
  private var missingCgroup: String? {
    guard let root = try? CgroupHierarchy.find().mount.mountPoint else { return nil }
    for line in text.split(separator: "\n") {
      guard let place = line.firstRange(of: "--path ") else { continue }
      let path = NetfilterRuleset.unquoted(line[place.upperBound...])
      if !isThere("\(root)/\(path)") { return path }
    }
    return nil
  }

  // MARK: The lock

  /// Who has the file lock: /proc/locks names the process and the inode.
  private var lockHolder: String? {
    let path = tools.environment.first { $0.hasPrefix("XTABLES_LOCKFILE=") }.map { String($0.dropFirst(17)) }
    guard let file = FileIdentity.at(path ?? "/run/xtables.lock"),
      let locks = try? readKernelFile("/proc/locks")
    else { return nil }
    for line in locks.split(separator: "\n") {
      // `1: FLOCK  ADVISORY  WRITE 11253 fe:00:16221583 0 EOF`; waiting ones have an arrow.
      let words = line.split(separator: " ")
      guard words.count >= 6, words[1] == "FLOCK", let inode = words[5].split(separator: ":").last,
        inode == "\(file.inode)", let holder = Int32(words[4])
      else { continue }
      let name = try? readKernelFile(FilePath("/proc/\(holder)/comm")).prefix { $0 != "\n" }
      return "process \(holder)" + (name.map { " (\($0))" } ?? "")
    }
    return nil
  }
}

extension CapturedProcess {
  /// Whether iptables-nft says that it cannot read a table.
  var isIncompatible: Bool { (output + errors).contains("is incompatible, use 'nft' tool") }
}

extension NetworkNamespace {
  /// As the links in /proc/PID/ns name it.
  var description: String { "network namespace net:[\(identity.inode)]" }
}
