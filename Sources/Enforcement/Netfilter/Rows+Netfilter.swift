// What the agent tells the programs of the told view: whom a mark and a listener stand for, and their rows in C.
internal import CDatapath
internal import Kernel

/// Whom a source or a receiver is, as the agent tells it.
struct ToldParty: Hashable, Sendable {
  /// The nearest labelled cgroup; nil = the host.
  var workload: CgroupID?
  /// Whether it is below the workload, in a cgroup without labels of its own.
  var isChild = false
  /// Whether it is not below the policed cgroup.
  var isOutside = false

  static let host = ToldParty()
  static let outside = ToldParty(isOutside: true)
}

/// Who receives: a port at an address of a namespace.
struct ListenerKey: Hashable, Sendable {
  let namespace: UInt32
  let `protocol`: UInt8
  let address: SocketAddress
}

extension Rows {
  static func told(_ layout: MarkLayout) -> sp_told_config {
    sp_told_config(source_mask: layout.sources, namespace_mask: layout.namespaces)
  }

  /// Without a row nothing is in a mark.
  static func layout(_ row: sp_told_config?) -> MarkLayout {
    MarkLayout(sources: row?.source_mask ?? 0, namespaces: row?.namespace_mask ?? 0)
  }

  static func told(_ party: ToldParty) -> sp_told_party {
    sp_told_party(
      workload: party.workload?.rawValue ?? 0,
      flags: (party.isChild ? SP_TOLD_CHILD : 0) | (party.isOutside ? SP_TOLD_OUTSIDE : 0), pad: 0)
  }

  static func told(_ row: sp_told_party) -> ToldParty {
    ToldParty(
      workload: row.workload == 0 ? nil : CgroupID(rawValue: row.workload), isChild: row.flags & SP_TOLD_CHILD != 0,
      isOutside: row.flags & SP_TOLD_OUTSIDE != 0)
  }

  static func listener(_ key: ListenerKey) -> sp_listener_key {
    var row = sp_listener_key()
    row.namespace = key.namespace
    row.port = key.address.port
    row.protocol = key.protocol
    let words = (key.address.high.bigEndian, key.address.low.bigEndian)
    // Same size, no references: sixteen bytes in network order.
    row.address = unsafe unsafeBitCast(words, to: type(of: row.address))
    return row
  }
}
