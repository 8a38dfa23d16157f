// Netlink's datagrams: one read, and the messages in it.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Reading of `struct nlmsghdr`, in host byte order (netlink(7)).
enum NetlinkMessages {
  /// One datagram of messages, and how many bytes it has; ENOBUFS = the kernel had more to tell than there was room for.
  static func receive(
    from socket: borrowing OwnedDescriptor, into buffer: inout [UInt8], flags: Int32 = 0, _ subject: String
  ) throws(KernelError) -> Int {
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(socket.raw, $0.baseAddress, $0.count, flags) }
      let error = errno
      if count < 0, error == EINTR { continue }
      try check(count < 0 ? -error : 0, "read answer of", subject)
      return count
    }
  }

  /// Calls `body` with the head of each message and what follows it; a message that does not fit ends the walk.
  static func forEach(in bytes: RawSpan, _ count: Int, _ body: (nlmsghdr, RawSpan) -> Void) {
    let headSize = MemoryLayout<nlmsghdr>.size
    var offset = 0
    while offset + headSize <= count {
      let head = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: nlmsghdr.self)
      let length = Int(head.nlmsg_len)
      guard length >= headSize, offset + length <= count else { return }
      body(head, bytes.extracting(offset + headSize..<offset + length))
      offset += (length + 3) & ~3
    }
  }
}
