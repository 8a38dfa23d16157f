// Which packet filters a network namespace has, found out without a side effect: no module is loaded, no table made.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A version of the Internet protocol.
package enum IPFamily: Sendable, CaseIterable, Hashable {
  /// IPv4: iptables.
  case ipv4
  /// IPv6: ip6tables.
  case ipv6

  /// AF_INET or AF_INET6; NFPROTO_IPV4 and NFPROTO_IPV6 are the same numbers.
  var number: UInt8 { UInt8(self == .ipv4 ? AF_INET : AF_INET6) }

  /// Whether this kernel has it: with `ipv6.disable=1` nobody can make an IPv6 socket.
  package var isThere: Bool {
    do throws(KernelError) {
      _ = try OwnedDescriptor.socket(Int32(number), Int32(SOCK_DGRAM.rawValue), 0)
      return true
    } catch {
      return error.errno.rawValue != EAFNOSUPPORT
    }
  }
}

/// The tables of legacy iptables and of nf_tables in one namespace.
package struct PacketFilterTables: Equatable, Sendable {
  /// A chain of a table of nf_tables.
  package struct Chain: Hashable, Sendable {
    /// The address family (NFPROTO_*): 2 IPv4, 10 IPv6, 1 both.
    package let family: UInt8
    /// Its table.
    package let table: String
    /// Its name.
    package let name: String
    /// The hook that its rules run at (NF_INET_*: 1 LOCAL_IN, 3 LOCAL_OUT); nil if only rules lead to it.
    package let hook: UInt32?
  }

  /// The legacy tables that exist, such as `filter`.
  package let legacy: [IPFamily: Set<String>]
  /// Every chain of nf_tables.
  package let chains: Set<Chain>
  /// The families whose table `filter` of nf_tables is dormant: its rules are there, and none of them runs.
  package let dormant: Set<IPFamily>

  /// What a namespace has now.
  ///
  /// `iptables-save` would load the module or make the table that it is asked for; this asks only what is there. Needs
  /// CAP_NET_ADMIN in the namespace.
  package static func read(in namespace: NetworkNamespace) throws(KernelError) -> PacketFilterTables {
    let entered = namespace.descriptor.raw
    let legacy = try runOnFreshThread("netns") { () throws(KernelError) in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      return [IPFamily.ipv4: try legacyNames("ip_tables_names"), .ipv6: try legacyNames("ip6_tables_names")]
    }
    guard isNftablesLoaded() else { return PacketFilterTables(legacy: legacy, chains: [], dormant: []) }
    let socket = try NetfilterSocket.open(in: namespace)
    return PacketFilterTables(legacy: legacy, chains: try chains(socket), dormant: try dormant(socket))
  }

  /// Whether nf_tables has a chain for a family, also in tables for both families.
  package func hasChains(of family: IPFamily) -> Bool {
    chains.contains { $0.family == family.number || $0.family == Self.both }
  }

  /// Whether nf_tables has a chain in the filter table of a family.
  package func hasFilterChain(_ name: String, _ family: IPFamily) -> Bool {
    chains.contains { $0.family == family.number && $0.table == "filter" && $0.name == name }
  }

  /// Whether the rules of OUTPUT and INPUT in the filter table of nf_tables run.
  package func isFilterRunning(_ family: IPFamily) -> Bool {
    let hooks: [(String, UInt32)] = [("OUTPUT", 3), ("INPUT", 1)]
    return !dormant.contains(family)
      && hooks.allSatisfy { name, hook in
        chains.contains(Chain(family: family.number, table: "filter", name: name, hook: hook))
      }
  }

  /// NFPROTO_INET, which the Glibc module does not show.
  private static let both: UInt8 = 1

  /// The file is of the thread's namespace; it is missing where the module is.
  private static func legacyNames(_ file: String) throws(KernelError) -> Set<String> {
    do throws(KernelError) {
      let text = try readKernelFile(FilePath("/proc/thread-self/net/\(file)"))
      return Set(text.split(separator: "\n").map(String.init))
    } catch {
      if error.errno == .noSuchFileOrDirectory { return [] }
      throw error
    }
  }

  private static func chains(_ socket: borrowing NetfilterSocket) throws(KernelError) -> Set<Chain> {
    var found: Set<Chain> = []
    try list(socket, NFT_MSG_GETCHAIN.rawValue, "chains of nf_tables") { family, attributes in
      var names = ("", "")
      var hook: UInt32?
      NetlinkAttribute.forEach(in: attributes) { attribute, value in
        switch UInt32(attribute) {
        case NFTA_CHAIN_TABLE.rawValue: names.0 = NetlinkAttribute.text(value)
        case NFTA_CHAIN_NAME.rawValue: names.1 = NetlinkAttribute.text(value)
        case NFTA_CHAIN_HOOK.rawValue:
          NetlinkAttribute.forEach(in: value) { attribute, value in
            if UInt32(attribute) == NFTA_HOOK_HOOKNUM.rawValue { hook = NetlinkAttribute.networkNumber(value) }
          }
        default: break
        }
      }
      found.insert(Chain(family: family, table: names.0, name: names.1, hook: hook))
    }
    return found
  }

  private static func dormant(_ socket: borrowing NetfilterSocket) throws(KernelError) -> Set<IPFamily> {
    var found: Set<IPFamily> = []
    try list(socket, NFT_MSG_GETTABLE.rawValue, "tables of nf_tables") { number, attributes in
      var name = ""
      var flags: UInt32 = 0
      NetlinkAttribute.forEach(in: attributes) { attribute, value in
        switch UInt32(attribute) {
        case NFTA_TABLE_NAME.rawValue: name = NetlinkAttribute.text(value)
        case NFTA_TABLE_FLAGS.rawValue: flags = NetlinkAttribute.networkNumber(value)
        default: break
        }
      }
      let family = IPFamily.allCases.first { $0.number == number }
      // NFT_TABLE_F_DORMANT.
      if let family, name == "filter", flags & 1 != 0 { found.insert(family) }
    }
    return found
  }

  /// Lists again what changed while it was listed; who changes it all the time is told of.
  private static func list(
    _ socket: borrowing NetfilterSocket, _ message: UInt32, _ subject: String, _ body: (UInt8, RawSpan) -> Void
  ) throws(KernelError) {
    let kind = UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(message)
    for _ in 0..<8 {
      do throws(KernelError) {
        // What an interrupted list told was there at some time: telling it again does no harm.
        return try socket.dump(kind: kind, family: UInt8(AF_UNSPEC), subject) { _, family, attributes in
          body(family, attributes)
        }
      } catch {
        // EINVAL: this kernel has no nf_tables.
        if error.errno == .invalidArgument { return }
        guard error.errno == .interrupted else { throw error }
      }
    }
    throw KernelError("list", subject, .interrupted, remedy: "they change all the time")
  }

  /// Whether asking nf_tables would load nothing: it is loaded, built in, or cannot be loaded.
  private static func isNftablesLoaded() -> Bool {
    guard let modules = try? readKernelFile("/proc/modules") else { return true }
    if modules.split(separator: "\n").contains(where: { $0.hasPrefix("nf_tables ") }) { return true }
    guard let release = try? readKernelFile("/proc/sys/kernel/osrelease") else { return false }
    let directory = "/lib/modules/\(release.prefix { $0 != "\n" })"
    guard let builtIn = try? readKernelFile(FilePath("\(directory)/modules.builtin")) else { return false }
    return builtIn.split(separator: "\n").contains { $0.hasSuffix("/nf_tables.ko") }
  }
}
