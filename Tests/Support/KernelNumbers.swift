// Numbers of Linux that Glibc's module does not show to Swift, by name.

/// What sockets and packets of tests are made with.
package enum KernelNumbers {
  /// IPPROTO_MPTCP: multipath TCP (RFC 8684).
  package static let multipathTCP: Int32 = 262
  /// MSG_FASTOPEN: no connect(), and data in the first segment once there is a cookie.
  package static let fastOpen: Int32 = 0x2000_0000
  /// IPPROTO_SCTP, as it stands in a packet.
  package static let sctp: UInt8 = 132
}
