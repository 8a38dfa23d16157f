// The ways that the probe's packets take: one namespace's loopback, or a veth pair between two.
internal import Kernel

/// A way from a sender's namespace to the server's address.
enum Route: CaseIterable, Sendable {
  case homeIPv4, homeIPv6, acrossIPv4, acrossIPv6

  /// The family of its addresses.
  var family: Family { self == .homeIPv4 || self == .acrossIPv4 ? .ipv4 : .ipv6 }

  /// Whether it leaves the sender's namespace.
  var isAcross: Bool { self == .acrossIPv4 || self == .acrossIPv6 }

  /// The server's address.
  var address: String {
    switch self {
    case .homeIPv4: "127.0.0.1"
    case .homeIPv6: "::1"
    case .acrossIPv4: "10.77.0.2"
    case .acrossIPv6: "fd77::2"
    }
  }

  /// The sender's address.
  var source: String {
    switch self {
    case .homeIPv4, .homeIPv6: address
    case .acrossIPv4: "10.77.0.1"
    case .acrossIPv6: "fd77::1"
    }
  }
}

/// The namespaces of the probe: one by itself, and two that a veth pair `sp0` joins.
struct Places: Sendable {
  let home: NetworkNamespace
  let left: NetworkNamespace
  let right: NetworkNamespace

  /// Makes them; they go with the last socket and process in them.
  init() throws {
    home = try Self.makeNamespace()
    left = try Self.makeNamespace()
    right = try Self.makeNamespace()
    try left.connect(
      [(addressBytes("10.77.0.1"), 24), (addressBytes("fd77::1"), 64)], to: right,
      [(addressBytes("10.77.0.2"), 24), (addressBytes("fd77::2"), 64)])
  }

  /// A namespace with its loopback interface up.
  static func makeNamespace() throws -> NetworkNamespace {
    let made = try NetworkNamespace.anonymous()
    try made.bringLoopbackUp()
    return made
  }

  /// Where a route begins.
  func sender(_ route: Route) -> NetworkNamespace { route.isAcross ? left : home }

  /// Where it ends.
  func server(_ route: Route) -> NetworkNamespace { route.isAcross ? right : home }
}
