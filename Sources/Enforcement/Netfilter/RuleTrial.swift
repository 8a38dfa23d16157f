// A rule of iptables tried in a scratch network namespace: does this host have what it needs, and if not, what is missing?
package import Kernel
internal import SystemPackage

/// One rule, and what iptables and the kernel made of it.
package struct RuleTrial: Sendable {
  /// How a trial ended.
  package enum Outcome: Sendable, Equatable {
    /// The rule was taken by a variant of iptables: `nft` or `legacy`.
    case taken(variant: String)
    /// No variant takes it; the first one's reason and remedy, in the words in which the datapath refuses.
    case refused(reason: String, remedy: String?)
    /// The kernel was not asked: another process holds the lock, a privilege lacks, the program did not start.
    case unclear(reason: String, remedy: String?)
    /// A program had to be ended because it ran too long.
    case silent(reason: String)
    /// There is no iptables to try it with.
    case noProgram(reason: String, remedy: String?)
  }

  /// Tries one rule of a table, such as `OUTPUT -m limit --limit 5/s -j ACCEPT`.
  ///
  /// `namespace` is one of the caller's own, and keeps the rule. `variants` are tried in their order; nil = those that the
  /// datapath would use, the best first. `environment` is added to what the programs see, such as `XTABLES_LIBDIR=…`. Each
  /// program is ended after `limit`.
  package static func attempt(
    _ rule: String, table: String = "filter", family: IPFamily = .ipv4, variants: [String]? = nil,
    in namespace: NetworkNamespace, environment: [String] = [], within limit: Duration = .seconds(3)
  ) -> Outcome {
    var tools = Iptables()
    tools.environment += environment
    tools.lockWait = .seconds(1)
    tools.limit = limit
    let wanted = variants.map { $0.compactMap(IptablesBackend.init(rawValue:)) } ?? [.nft, .legacy]
    let installed = wanted.filter { tools.program(family, $0, .restore) != nil }
    var refusal: DatapathError?
    var doubt: DatapathError?
    for variant in installed {
      do throws(DatapathError) {
        try tools.restore("*\(table)\n-A \(rule)\nCOMMIT\n", family, variant, in: namespace)
        return .taken(variant: variant.rawValue)
      } catch {
        if (error.underlying as? KernelError)?.errno == .timedOut {
          return .silent(reason: "\(error.subject) did not end within \(limit)")
        }
        if saysNothing(error) { doubt = doubt ?? error } else { refusal = refusal ?? error }
      }
    }
    // What one variant could not try, it might have taken.
    if let doubt { return .unclear(reason: doubt.reason, remedy: doubt.remedy) }
    if let refusal { return .refused(reason: refusal.reason, remedy: refusal.remedy) }
    let missing = tools.missing(family, wanted.count == 1 ? wanted.first : nil)
    return .noProgram(reason: missing.reason, remedy: missing.remedy)
  }

  /// Whether a failure is none of the kernel's: of the program's start or end, of a lock, of privileges.
  private static func saysNothing(_ error: DatapathError) -> Bool {
    error.underlying is KernelError || error.remedy == IptablesFault.privileges
      || error.reason.hasPrefix(IptablesFault.lockHeld)
  }

  /// Where programs of iptables and of its kind are looked for, in order.
  package static let directories = Iptables().directories

  /// The families for which this kernel has a protocol stack.
  package static var families: [IPFamily] { IPFamily.allCases.filter(\.isThere) }
}
