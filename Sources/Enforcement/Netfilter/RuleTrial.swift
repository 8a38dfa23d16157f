// A rule of iptables tried in a scratch network namespace: does this host have what it needs, and if not, what is missing?
public import Kernel
internal import SystemPackage

/// One rule, and what iptables and the kernel made of it.
public struct RuleTrial: Sendable {
  /// How a trial ended.
  public enum Outcome: Sendable, Equatable {
    /// The rule was taken by a variant of iptables: `nft` or `legacy`.
    case taken(variant: String)
    /// No variant takes it; the first one's reason and remedy, in the words in which the datapath refuses.
    case refused(reason: String, remedy: String?)
    /// There is no iptables to try it with.
    case noProgram(reason: String, remedy: String?)
  }

  /// Tries one rule of a table, such as `OUTPUT -m limit --limit 5/s -j ACCEPT`.
  ///
  /// `namespace` is one of the caller's own, and keeps the rule. `variants` are tried in their order; nil = those that the
  /// datapath would use, the best first. `environment` is added to what the programs see, such as `XTABLES_LIBDIR=…`.
  public static func attempt(
    _ rule: String, table: String = "filter", family: IPFamily = .ipv4, variants: [String]? = nil,
    in namespace: NetworkNamespace, environment: [String] = []
  ) -> Outcome {
    var tools = Iptables()
    tools.environment += environment
    tools.lockWait = .seconds(1)
    let wanted = variants.map { $0.compactMap(IptablesBackend.init(rawValue:)) } ?? [.nft, .legacy]
    let installed = wanted.filter { tools.program(family, $0, .restore) != nil }
    var refusal: DatapathError?
    for variant in installed {
      do throws(DatapathError) {
        try tools.restore("*\(table)\n-A \(rule)\nCOMMIT\n", family, variant, in: namespace)
        return .taken(variant: variant.rawValue)
      } catch {
        refusal = refusal ?? error
      }
    }
    if let refusal { return .refused(reason: refusal.reason, remedy: refusal.remedy) }
    let missing = tools.missing(family, wanted.count == 1 ? wanted.first : nil)
    return .noProgram(reason: missing.reason, remedy: missing.remedy)
  }

  /// Where programs of iptables and of its kind are looked for, in order.
  public static let directories = Iptables().directories

  /// The families for which this kernel has a protocol stack.
  public static var families: [IPFamily] { IPFamily.allCases.filter(\.isThere) }
}
