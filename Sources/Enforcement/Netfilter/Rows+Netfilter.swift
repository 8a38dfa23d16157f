// What the agent tells the programs of the mark view: whom a mark and a listener stand for, and their rows in C.
internal import CDatapath
internal import Kernel

/// Whom a source or a receiver is, as the agent tells it.
struct MarkEndpoint: Hashable, Sendable {
  /// The nearest labelled cgroup; nil = the host.
  var workload: CgroupID?
  /// Whether it is below the workload, in a cgroup without labels of its own.
  var isChild = false
  /// Whether it is not below the policed cgroup.
  var isOutside = false

  static let host = MarkEndpoint()
  static let outside = MarkEndpoint(isOutside: true)
}

/// Who receives: a port at an address of a namespace.
struct ListenerKey: Hashable, Sendable {
  let namespace: UInt32
  let `protocol`: UInt8
  let address: SocketAddress
}

extension Rows {
  static func mark(_ layout: MarkLayout) -> sp_mark_config {
    sp_mark_config(source_mask: layout.sources, namespace_mask: layout.namespaces)
  }

  /// Without a row nothing is in a mark.
  static func layout(_ row: sp_mark_config?) -> MarkLayout {
    MarkLayout(sources: row?.source_mask ?? 0, namespaces: row?.namespace_mask ?? 0)
  }

  static func mark(_ endpoint: MarkEndpoint) -> sp_mark_endpoint {
    sp_mark_endpoint(
      workload: endpoint.workload?.rawValue ?? 0,
      flags: (endpoint.isChild ? SP_MARK_CHILD : 0) | (endpoint.isOutside ? SP_MARK_OUTSIDE : 0), pad: 0)
  }

  static func mark(_ row: sp_mark_endpoint) -> MarkEndpoint {
    MarkEndpoint(
      workload: row.workload == 0 ? nil : CgroupID(rawValue: row.workload), isChild: row.flags & SP_MARK_CHILD != 0,
      isOutside: row.flags & SP_MARK_OUTSIDE != 0)
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
