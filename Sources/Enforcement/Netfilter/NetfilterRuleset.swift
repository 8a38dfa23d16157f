// The rules of one instance, made of its settings alone: what iptables-save prints once they are in place.
internal import Kernel

/// The names of an instance's chains.
struct NetfilterChains: Equatable, Sendable {
  /// Where the jumps are.
  static let builtIn = ["OUTPUT", "INPUT"]

  /// What leaves the sockets of this namespace.
  let output: String
  /// What arrives at them.
  let input: String
  /// In the mark view: which workload is the source.
  let sources: String

  /// The name has at most 28 bytes, an instance's may have thousands: so it is the 64-bit FNV-1a hash of it.
  init(instance: String) {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in instance.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    let stem = "SP-" + String(repeating: "0", count: 16 - digits.count) + digits
    output = "\(stem)-out"
    input = "\(stem)-in"
    sources = "\(stem)-src"
  }

  var all: [String] { [sources, output, input] }
}

/// A workload's mark in the mark view.
struct MarkSource: Equatable, Sendable {
  /// The path of its cgroup (v2) from the hierarchy's root, without the first slash; rules match what is below it too.
  let path: String
  /// The value in our mask.
  let mark: UInt32
}

/// What tells a network namespace's packets from those of others, in the mark view.
struct MarkNamespace: Equatable, Sendable {
  /// The value in `mask`.
  let mark: UInt32
  /// A part of our mask; sources have the rest.
  let mask: UInt32
}

/// How the programs learn whose packet it is.
enum SourceView: Equatable, Sendable {
  /// They read the socket themselves: exact, and the number of rules is constant.
  case kernel
  /// Rules mark the packet first; the later of two matching sources wins, so the nearest ancestors come last.
  case marked([MarkSource], mask: UInt32, namespace: MarkNamespace? = nil)
}

/// The rules of an instance.
struct NetfilterRuleset: Equatable, Sendable {
  /// `StateDirectory.instance`.
  let instance: String
  /// One word that differs when the programs do: ABI version and tags.
  let version: String
  /// Where `sp_nf_output` is pinned.
  let outputProgram: String
  /// Where `sp_nf_input` is pinned.
  let inputProgram: String
  let source: SourceView

  var chains: NetfilterChains { NetfilterChains(instance: instance) }

  /// The same with another source of who sends.
  func seeing(by source: SourceView) -> NetfilterRuleset {
    NetfilterRuleset(
      instance: instance, version: version, outputProgram: outputProgram, inputProgram: inputProgram, source: source)
  }

  /// What the instance has in a family's filter table.
  func rules(_ family: IPFamily) -> OwnRules {
    let chains = chains
    var output: [String] = []
    var input: [String] = []
    var own: [(name: String, rules: [String])] = []
    if case .marked(let sources, let mask, let namespace) = source {
      output += replies(family)
      input += replies(family)
      if let namespace { input.append(mark(namespace.mark, namespace.mask)) }
      // An application may have set a mark itself (SO_MARK): our bits are cleared before they are set.
      output += [mark(namespace?.mark ?? 0, mask), "-j \(chains.sources)"]
      let part = mask & ~(namespace?.mask ?? 0)
      own.append((chains.sources, sources.map { "-m cgroup --path \(Self.quoted($0.path)) \(mark($0.mark, part))" }))
    }
    let judged = "-m bpf --object-pinned \(outputProgram) -j"
    output += ["-p tcp \(judged) REJECT --reject-with tcp-reset", "! -p tcp \(judged) DROP"]
    input.append("-m bpf --object-pinned \(inputProgram) -j DROP")
    own += [(chains.output, output), (chains.input, input)]
    let jumps = zip(NetfilterChains.builtIn, [chains.output, chains.input]).map { builtIn, target in
      OwnJump(chain: builtIn, place: 1, rule: "-m comment --comment \"\(comment)\" -j \(target)")
    }
    return OwnRules(chains: own, jumps: jumps)
  }

  /// Whose rules they are and of which version; xt_comment holds 255 bytes.
  var comment: String { Self.commentStart + String("\(version) \(instance)".prefix(255 - Self.commentStart.count)) }

  private static let commentStart = "sallyport "

  /// The version in the comment of a jump of ours; nil if it has none.
  static func version(of jump: OwnJump) -> String? {
    guard let start = jump.rule.firstRange(of: "\"\(commentStart)") else { return nil }
    let version = jump.rule[start.upperBound...].prefix { $0 != " " && $0 != "\"" }
    return version.isEmpty ? nil : String(version)
  }

  /// Connections that were let in pass, and the ICMP errors about them; what else conntrack calls related is new.
  private func replies(_ family: IPFamily) -> [String] {
    let icmp = family == .ipv4 ? "icmp" : "ipv6-icmp"
    return [
      "-m conntrack --ctstate ESTABLISHED -j RETURN", "-p \(icmp) -m conntrack --ctstate RELATED -j RETURN",
    ]
  }

  /// Only our bits change: `--set-xmark VALUE/MASK` clears the mask's bits and sets the value's.
  private func mark(_ value: UInt32, _ mask: UInt32) -> String {
    "-j MARK --set-xmark 0x\(String(value, radix: 16))/0x\(String(mask, radix: 16))"
  }

  /// A word as iptables-save quotes it.
  static func quoted(_ word: String) -> String {
    let isPlain = word.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    guard !isPlain || word.isEmpty else { return word }
    var text = "\""
    for character in word {
      if character == "\"" || character == "\\" || character == "'" { text.append("\\") }
      text.append(character)
    }
    return text + "\""
  }

  /// The first word of a text, as it was before it was quoted.
  static func unquoted(_ text: Substring) -> String {
    guard text.first == "\"" else { return String(text.prefix { $0 != " " }) }
    var word = ""
    var isEscaped = false
    for character in text.dropFirst() {
      if !isEscaped, character == "\"" { break }
      if !isEscaped, character == "\\" {
        isEscaped = true
        continue
      }
      word.append(character)
      isEscaped = false
    }
    return word
  }

  /// Why a source cannot be written as a rule: what its path holds would end the word, or the kernel has no room for it.
  var unwritableSource: (path: String, reason: String)? {
    guard case .marked(let sources, let mask, _) = source else { return nil }
    for source in sources {
      if source.mark & ~mask != 0 || source.mark == 0 {
        return ("mark 0x\(String(source.mark, radix: 16))", "it is not in the mask 0x\(String(mask, radix: 16))")
      }
      let path = source.path
      if path.utf8.count > 511 { return (path, "xt_cgroup has room for 511 bytes") }
      if path.isEmpty || path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) {
        return (path, "it is empty or holds a control character")
      }
    }
    return nil
  }
}
