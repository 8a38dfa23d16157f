// Hears of changes of the packet filter of a network namespace, as nf_tables announces them.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A socket that the kernel tells of every change of nf_tables in one namespace; one reader.
package final class RulesetMonitor: Sendable {
  private let netlink: NetfilterSocket

  /// Opens it; changes from now on are told.
  ///
  /// Needs CAP_NET_ADMIN there.
  package init(in namespace: NetworkNamespace) throws(KernelError) {
    netlink = try NetfilterSocket.open(in: namespace)
    try netlink.join(UInt32(NFNLGRP_NFTABLES.rawValue))
  }

  /// To be waited for with POLLIN; stays this object's.
  package var descriptor: Int32 { netlink.descriptor.raw }

  /// Reads what waits, and says whether the tables `filter` of IPv4 or IPv6 may have changed.
  ///
  /// Changes of other tables are passed over: none of them can take a packet past those two. When the kernel lost
  /// announcements, or one cannot be read, everything may have changed.
  package func readChanges() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var isChanged = false
    while true {
      do throws(KernelError) {
        let count = try netlink.receive(into: &buffer, flags: Int32(MSG_DONTWAIT))
        unsafe NetlinkMessages.forEach(in: buffer.span.bytes, count) { head, message in
          if Self.concernsFilter(head.nlmsg_type, message) { isChanged = true }
        }
      } catch {
        if error.errno == .resourceTemporarilyUnavailable { return isChanged }
        // ENOBUFS: lost, and there may be more to read.
        guard error.errno.rawValue == ENOBUFS else { return true }
        isChanged = true
      }
    }
  }

  private static func concernsFilter(_ kind: UInt16, _ message: RawSpan) -> Bool {
    guard kind >> 8 == UInt16(NFNL_SUBSYS_NFTABLES), message.byteCount >= 4 else { return false }
    let tableAttribute: UInt32
    switch UInt32(kind & 0xff) {
    case NFT_MSG_NEWTABLE.rawValue, NFT_MSG_DELTABLE.rawValue: tableAttribute = NFTA_TABLE_NAME.rawValue
    case NFT_MSG_NEWCHAIN.rawValue, NFT_MSG_DELCHAIN.rawValue: tableAttribute = NFTA_CHAIN_TABLE.rawValue
    case NFT_MSG_NEWRULE.rawValue, NFT_MSG_DELRULE.rawValue: tableAttribute = NFTA_RULE_TABLE.rawValue
    default: return false
    }
    let family = unsafe message.unsafeLoadUnaligned(as: UInt8.self)
    guard IPFamily.allCases.contains(where: { $0.number == family }) else { return false }
    var table = ""
    NetlinkAttribute.forEach(in: message.extracting(4..<message.byteCount)) { attribute, value in
      if UInt32(attribute) == tableAttribute { table = NetlinkAttribute.text(value) }
    }
    return table == "filter"
  }
}
