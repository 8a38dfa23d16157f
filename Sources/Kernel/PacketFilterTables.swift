// Which packet filters a network namespace has, found out without a side effect: no module is loaded, no table made.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A version of the Internet protocol.
public enum IPFamily: Sendable, CaseIterable, Hashable {
  /// IPv4: iptables.
  case ipv4
  /// IPv6: ip6tables.
  case ipv6

  /// AF_INET or AF_INET6; NFPROTO_IPV4 and NFPROTO_IPV6 are the same numbers.
  var number: UInt8 { UInt8(self == .ipv4 ? AF_INET : AF_INET6) }

  /// Whether this kernel has it: with `ipv6.disable=1` nobody can make an IPv6 socket.
  public var isThere: Bool {
    do throws(KernelError) {
      _ = try OwnedDescriptor.socket(Int32(number), Int32(SOCK_DGRAM.rawValue), 0)
      return true
    } catch {
      return error.errno.rawValue != EAFNOSUPPORT
    }
  }
}

/// The tables of legacy iptables and of nf_tables in one namespace.
public struct PacketFilterTables: Equatable, Sendable {
  /// A chain of a table of nf_tables.
  public struct Chain: Hashable, Sendable {
    /// The address family (NFPROTO_*): 2 IPv4, 10 IPv6, 1 both.
    public let family: UInt8
    /// Its table.
    public let table: String
    /// Its name.
    public let name: String
  }

  /// The legacy tables that exist, such as `filter`.
  public let legacy: [IPFamily: Set<String>]
  /// Every chain of nf_tables.
  public let chains: Set<Chain>

  /// What a namespace has now.
  ///
  /// `iptables-save` would load the module or make the table that it is asked for; this asks only what is there. Needs
  /// CAP_NET_ADMIN in the namespace.
  public static func read(in namespace: NetworkNamespace) throws(KernelError) -> PacketFilterTables {
    let entered = namespace.descriptor.raw
    let legacy = try runOnFreshThread("netns") { () throws(KernelError) in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      return [IPFamily.ipv4: try legacyNames("ip_tables_names"), .ipv6: try legacyNames("ip6_tables_names")]
    }
    return PacketFilterTables(legacy: legacy, chains: try nftablesChains(in: namespace))
  }

  /// Whether nf_tables has a chain for a family, also in tables for both families.
  public func hasChains(of family: IPFamily) -> Bool {
    chains.contains { $0.family == family.number || $0.family == Self.both }
  }

  /// Whether nf_tables has a chain in the filter table of a family.
  public func hasFilterChain(_ name: String, _ family: IPFamily) -> Bool {
    chains.contains(Chain(family: family.number, table: "filter", name: name))
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

  private static func nftablesChains(in namespace: NetworkNamespace) throws(KernelError) -> Set<Chain> {
    guard isNftablesLoaded() else { return [] }
    let socket = try NetfilterSocket.open(in: namespace)
    // A list that changed while it was read is read again; who changes it all the time is told of.
    for _ in 0..<8 {
      do throws(KernelError) {
        var found: Set<Chain> = []
        let kind = UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(NFT_MSG_GETCHAIN.rawValue)
        try socket.dump(kind: kind, family: UInt8(AF_UNSPEC), "chains of nf_tables") { _, family, attributes in
          var names = ("", "")
          NetlinkAttribute.forEach(in: attributes) { attribute, value in
            switch Int(attribute) {
            case Int(NFTA_CHAIN_TABLE.rawValue): names.0 = NetlinkAttribute.text(value)
            case Int(NFTA_CHAIN_NAME.rawValue): names.1 = NetlinkAttribute.text(value)
            default: break
            }
          }
          found.insert(Chain(family: family, table: names.0, name: names.1))
        }
        return found
      } catch {
        // EINVAL: this kernel has no nf_tables.
        if error.errno == .invalidArgument { return [] }
        guard error.errno == .interrupted else { throw error }
      }
    }
    throw KernelError("list", "chains of nf_tables", .interrupted, remedy: "they change all the time")
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
