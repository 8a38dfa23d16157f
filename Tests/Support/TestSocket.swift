// Sockets, addresses and packets are those of the probes: the product and its tests make the same traffic.
@_exported public import Coverage

/// A socket of any kind, as the probes use it.
package typealias TestSocket = ProbeSocket
