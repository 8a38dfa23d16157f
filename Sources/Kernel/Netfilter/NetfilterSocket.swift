// The netlink socket of netfilter (nfnetlink): requests, dumps and notifications of one network namespace.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A nfnetlink socket that speaks of the namespace it was made in; one user at a time.
struct NetfilterSocket: ~Copyable, Sendable {
  let descriptor: OwnedDescriptor

  private init(descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Opens it for a namespace; needs CAP_NET_ADMIN there for every request.
  static func open(in namespace: NetworkNamespace) throws(KernelError) -> NetfilterSocket {
    let entered = namespace.descriptor.raw
    let raw = try runOnFreshThread("nfnetlink") { () throws(KernelError) in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      let socket = try OwnedDescriptor.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), NETLINK_NETFILTER)
      var size: Int32 = 4 << 20
      _ = unsafe setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
      return socket.release()
    }
    return NetfilterSocket(descriptor: OwnedDescriptor(adopting: raw))
  }

  /// Asks for notifications of a group (NFNLGRP_*).
  borrowing func join(_ group: UInt32) throws(KernelError) {
    // A socket without a number is taken for the sender, number 0, to whom nothing is announced.
    var address = sockaddr_nl()
    address.nl_family = sa_family_t(AF_NETLINK)
    let raw = descriptor.raw
    let bound = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(raw, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
      }
    }
    try check(bound < 0 ? -errno : 0, "bind", "netfilter socket")
    var group = group
    let rc = unsafe setsockopt(descriptor.raw, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, 4)
    try check(rc < 0 ? -errno : 0, "join", "netfilter group \(group)")
  }

  /// Sends one request; `kind` is subsystem << 8 | message, `family` an address family or 0.
  borrowing func send(
    kind: UInt16, flags: Int32, family: UInt8, attributes: [UInt8] = []
  ) throws(KernelError) {
    let length = MemoryLayout<nlmsghdr>.size + MemoryLayout<nfgenmsg>.size + attributes.count
    let head = nlmsghdr(
      nlmsg_len: UInt32(length), nlmsg_type: kind, nlmsg_flags: UInt16(flags), nlmsg_seq: 0, nlmsg_pid: 0)
    let general = nfgenmsg(nfgen_family: family, version: UInt8(NFNETLINK_V0), res_id: 0)
    let bytes =
      unsafe withUnsafeBytes(of: head) { unsafe Array($0) }
      + withUnsafeBytes(of: general) { unsafe Array($0) } + attributes
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(descriptor.raw, $0.baseAddress, $0.count, 0) }
    try check(count < 0 ? -errno : 0, "ask", "netfilter")
  }

  /// Asks for a list and calls `body` with the message kind, the family and the attributes of each entry.
  ///
  /// The kernel's own errors are thrown; EINTR is one: the list changed meanwhile and is not whole.
  borrowing func dump(
    kind: UInt16, family: UInt8, _ subject: String, _ body: (UInt16, UInt8, RawSpan) -> Void
  ) throws(KernelError) {
    try send(kind: kind, flags: NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH, family: family)
    try check(try answers(body), "list", subject)
  }

  /// Sends a request that is answered by success or an error, and returns 0 or -errno.
  borrowing func request(
    kind: UInt16, flags: Int32 = 0, family: UInt8, attributes: [UInt8] = []
  ) throws(KernelError) -> Int32 {
    try send(kind: kind, flags: NLM_F_REQUEST | NLM_F_ACK | flags, family: family, attributes: attributes)
    return try answers { _, _, _ in }
  }

  /// Reads messages until the answer is whole; the result is 0 or -errno.
  private borrowing func answers(_ body: (UInt16, UInt8, RawSpan) -> Void) throws(KernelError) -> Int32 {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var result: Int32?
    var isInterrupted = false
    while true {
      let count = try receive(into: &buffer, flags: 0)
      unsafe NetlinkMessages.forEach(in: buffer.span.bytes, count) { head, message in
        if Int32(head.nlmsg_flags) & NLM_F_DUMP_INTR != 0 { isInterrupted = true }
        switch Int32(head.nlmsg_type) {
        case Int32(NLMSG_DONE): result = result ?? 0
        case Int32(NLMSG_ERROR): result = unsafe message.unsafeLoadUnaligned(as: Int32.self)
        default:
          guard message.byteCount >= 4 else { return }
          let family = unsafe message.unsafeLoadUnaligned(as: UInt8.self)
          body(head.nlmsg_type, family, message.extracting(4..<message.byteCount))
        }
      }
      if let result { return result == 0 && isInterrupted ? -EINTR : result }
    }
  }

  /// One datagram of messages; ENOBUFS = notifications were lost.
  borrowing func receive(into buffer: inout [UInt8], flags: Int32) throws(KernelError) -> Int {
    try NetlinkMessages.receive(from: descriptor, into: &buffer, flags: flags, "netfilter")
  }
}
