// Lists and destroys the sockets of a network namespace: sock_diag(7) over netlink.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A netlink socket that sees the TCP and UDP sockets of the namespace it was made in.
///
/// One user at a time: answers are matched by order.
package struct SocketDiagnostics: ~Copyable, Sendable {
  /// What became of the sockets that were to be destroyed.
  package struct Outcome: Equatable, Sendable {
    /// Destroyed by us.
    package var destroyed = 0
    /// Gone before.
    package var gone = 0
    /// Refused by the kernel, with its reason.
    package var failed: [Failure] = []
  }

  /// A socket that lives on.
  package struct Failure: Equatable, Sendable {
    /// The socket.
    package let socket: SocketEntry
    /// The kernel's error number.
    package let error: Int32
  }

  private let netlink: OwnedDescriptor

  private init(netlink: consuming OwnedDescriptor) { self.netlink = netlink }

  /// Opens it for a namespace, or for the calling thread's.
  ///
  /// Needs CAP_NET_ADMIN there to destroy.
  package static func open(in namespace: NetworkNamespace? = nil) throws(KernelError) -> SocketDiagnostics {
    let raw: Int32
    if let namespace {
      let entered = namespace.descriptor.raw
      raw = try runOnFreshThread("sock-diag") { () throws(KernelError) in
        try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
        return try openNetlink()
      }
    } else {
      raw = try openNetlink()
    }
    return SocketDiagnostics(netlink: OwnedDescriptor(adopting: raw))
  }

  private static func openNetlink() throws(KernelError) -> Int32 {
    let socket = try OwnedDescriptor.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), NETLINK_SOCK_DIAG)
    // Room for the answers to one batch of requests, beyond the system's limit if we may.
    var size: Int32 = 4 << 20
    _ = unsafe setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
    return socket.release()
  }

  // MARK: Listing

  /// All TCP sockets in every state and all UDP sockets, for IPv4 and IPv6.
  ///
  /// The list is not one instant: sockets that come or go meanwhile may be in it or not. With `filter` the kernel lists
  /// only what it lets through (it looks at all the same, which costs a tenth of telling). `storage` is the descriptor of
  /// a BPF map of type SK_STORAGE whose values are to be told with each TCP socket (kernel 5.7; needs CAP_BPF); the kernel
  /// leaves those of UDP sockets out.
  package borrowing func list(
    where filter: SocketFilter? = nil, states: SocketStates = .all, storage: Int32? = nil
  ) throws(KernelError) -> [SocketEntry] {
    var attributes = filter.map { NetlinkAttribute.make(INET_DIAG_REQ_BYTECODE, $0.bytecode) } ?? []
    if let storage {
      let map = NetlinkAttribute.make(Int(SK_DIAG_BPF_STORAGE_REQ_MAP_FD), NetlinkAttribute.bytes(of: storage))
      attributes += NetlinkAttribute.make(INET_DIAG_REQ_SK_BPF_STORAGES, map)
    }
    var found: [SocketEntry] = []
    for family in [UInt8(AF_INET), UInt8(AF_INET6)] {
      for `protocol` in [UInt8(IPPROTO_TCP), UInt8(IPPROTO_UDP)] {
        try list(family: family, protocol: `protocol`, states, attributes, into: &found)
      }
    }
    return found
  }

  private borrowing func list(
    family: UInt8, protocol: UInt8, _ states: SocketStates, _ attributes: [UInt8], into found: inout [SocketEntry]
  ) throws(KernelError) {
    var request = inet_diag_req_v2()
    request.sdiag_family = family
    request.sdiag_protocol = `protocol`
    request.idiag_states = states.rawValue
    let dump = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_ROOT) | UInt16(NLM_F_MATCH)
    var message: [UInt8] = []
    Self.append(
      kind: UInt16(SOCK_DIAG_BY_FAMILY), flags: dump, sequence: 0, request, attributes: attributes, to: &message)
    try send(message)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var isDone = false
    var failure: Int32 = 0
    while !isDone {
      let count = try NetlinkMessages.receive(from: netlink, into: &buffer, "sock_diag")
      unsafe NetlinkMessages.forEach(in: buffer.span.bytes, count) { head, body in
        switch Int32(head.nlmsg_type) {
        case Int32(NLMSG_DONE): isDone = true
        case Int32(NLMSG_ERROR):
          isDone = true
          failure = unsafe body.unsafeLoadUnaligned(as: Int32.self)
        default: if let entry = SocketEntry(message: body, protocol: `protocol`) { found.append(entry) }
        }
      }
    }
    let remedy = failure == -ENOENT ? "modprobe \(`protocol` == UInt8(IPPROTO_TCP) ? "tcp_diag" : "udp_diag")" : nil
    try check(failure, "list", "sockets of protocol \(`protocol`)", remedy: remedy)
  }

  // MARK: Destroying

  /// Destroys one socket; false if it was gone before.
  ///
  /// Its owner sees ECONNABORTED, its TCP peer a reset. The cookie makes sure that it is that very socket.
  @discardableResult
  package borrowing func destroy(_ socket: SocketEntry) throws(KernelError) -> Bool {
    let outcome = try destroy([socket])
    if let failure = outcome.failed.first {
      throw KernelError("destroy", "socket \(socket.inode)", Errno(rawValue: failure.error))
    }
    return outcome.destroyed == 1
  }

  /// Destroys sockets, many to a system call; throws only if the kernel cannot destroy sockets at all.
  package borrowing func destroy(_ sockets: [SocketEntry]) throws(KernelError) -> Outcome {
    var outcome = Outcome()
    // The kernel answers only failures, each with a copy of the request: a batch's must fit the receive buffer.
    let batchSize = 128
    var start = 0
    while start < sockets.count {
      let batch = sockets[start..<min(start + batchSize, sockets.count)]
      var bytes: [UInt8] = []
      bytes.reserveCapacity(batch.count * 72)
      for (sequence, socket) in zip(UInt32(0)..., batch) {
        // A dump's answer is told by its type; a failure's by the sequence number, which is its place in the batch.
        Self.append(
          kind: UInt16(SOCK_DESTROY), flags: UInt16(NLM_F_REQUEST), sequence: sequence, socket.request, to: &bytes)
      }
      // The kernel has handled all requests when send returns.
      try send(bytes)
      let failures = try readFailures()
      outcome.destroyed += batch.count - failures.count
      for (place, error) in failures {
        let socket = batch[start + place]
        if error == ENOENT {
          outcome.gone += 1
        } else if error == EOPNOTSUPP {
          throw KernelError(
            "destroy", "sockets", .notSupported, remedy: "a kernel with CONFIG_INET_DIAG_DESTROY is needed")
        } else {
          outcome.failed.append(Failure(socket: socket, error: error))
        }
      }
      start += batch.count
    }
    return outcome
  }

  /// The failures that wait in the socket: place in the batch, error number.
  private borrowing func readFailures() throws(KernelError) -> [(Int, Int32)] {
    var failures: [(Int, Int32)] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    while true {
      let count: Int
      do throws(KernelError) {
        count = try NetlinkMessages.receive(
          from: netlink, into: &buffer, flags: Int32(MSG_DONTWAIT), "sock_diag")
      } catch {
        if error.errno == .resourceTemporarilyUnavailable { return failures }
        throw error
      }
      unsafe NetlinkMessages.forEach(in: buffer.span.bytes, count) { head, body in
        guard Int32(head.nlmsg_type) == Int32(NLMSG_ERROR), body.byteCount >= 4 else { return }
        let error = unsafe body.unsafeLoadUnaligned(as: Int32.self)
        if error != 0 { failures.append((Int(head.nlmsg_seq), -error)) }
      }
    }
  }

  // MARK: Netlink

  private static func append(
    kind: UInt16, flags: UInt16, sequence: UInt32, _ request: inet_diag_req_v2, attributes: [UInt8] = [],
    to bytes: inout [UInt8]
  ) {
    let length = MemoryLayout<nlmsghdr>.size + MemoryLayout<inet_diag_req_v2>.size + attributes.count
    let head = nlmsghdr(
      nlmsg_len: UInt32(length), nlmsg_type: kind, nlmsg_flags: flags, nlmsg_seq: sequence, nlmsg_pid: 0)
    unsafe withUnsafeBytes(of: head) { unsafe bytes.append(contentsOf: $0) }
    unsafe withUnsafeBytes(of: request) { unsafe bytes.append(contentsOf: $0) }
    bytes += attributes
  }

  private borrowing func send(_ bytes: [UInt8]) throws(KernelError) {
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(netlink.raw, $0.baseAddress, $0.count, 0) }
    try check(count < 0 ? -errno : 0, "ask", "sock_diag")
  }
}
