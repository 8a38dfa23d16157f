// Interfaces and addresses of network namespaces of our own: rtnetlink(7), so that no other program is needed.
internal import CLinux
internal import Glibc
internal import SystemPackage

extension NetworkNamespace {
  /// The number of an interface that `connect` makes, in both namespaces: far from what tunnel modules make in each.
  package static let pairIndex: Int32 = 1000

  /// The hardware addresses of the two ends of a pair, this namespace's first.
  package static let pairHardware: [[UInt8]] = [[2, 0x77, 0, 0, 0, 1], [2, 0x77, 0, 0, 0, 2]]

  /// Brings the loopback interface up.
  package func bringLoopbackUp() throws(KernelError) { try setUp(1, "lo") }

  /// Joins this namespace and another by a veth pair, `name` in both, and brings it up.
  ///
  /// Addresses are 4 or 16 bytes in network order, with the length of their prefix; they are usable at once: there is no
  /// duplicate address detection, and each end knows the other's hardware address (a first solicitation that is sent while
  /// the link comes up is lost, and repeated a second later).
  package func connect(
    _ addresses: [(bytes: [UInt8], prefix: UInt8)], to other: NetworkNamespace,
    _ otherAddresses: [(bytes: [UInt8], prefix: UInt8)], name: String = "sp0"
  ) throws(KernelError) {
    let index = Self.pairIndex
    let label = Array(name.utf8) + [0]
    let peer =
      Link.header(index) + NetlinkAttribute.make(Link.name, label)
      + NetlinkAttribute.make(Link.hardware, Self.pairHardware[1])
      + NetlinkAttribute.make(Link.namespaceDescriptor, NetlinkAttribute.bytes(of: other.descriptor.raw))
    let data = NetlinkAttribute.make(Link.data, NetlinkAttribute.make(Link.vethPeer, peer))
    let info = NetlinkAttribute.make(Link.kind, Array("veth".utf8)) + data
    let request =
      Link.header(index) + NetlinkAttribute.make(Link.name, label)
      + NetlinkAttribute.make(Link.hardware, Self.pairHardware[0])
      + NetlinkAttribute.make(Link.information, info)
    try ask(RTM_NEWLINK, Int32(NLM_F_CREATE) | Int32(NLM_F_EXCL), request, "make interface", name)
    for (namespace, addresses) in [(self, addresses), (other, otherAddresses)] {
      for address in addresses { try namespace.add(address.bytes, address.prefix, index, name) }
      try namespace.setUp(index, name)
    }
    for address in otherAddresses { try addNeighbour(address.bytes, Self.pairHardware[1], name) }
    for address in addresses { try other.addNeighbour(address.bytes, Self.pairHardware[0], name) }
  }

  private func setUp(_ index: Int32, _ name: String) throws(KernelError) {
    try ask(RTM_NEWLINK, 0, Link.header(index, flags: 1, change: 1), "bring up", name)
  }

  private func add(_ bytes: [UInt8], _ prefix: UInt8, _ index: Int32, _ name: String) throws(KernelError) {
    let family = UInt8(bytes.count == 4 ? AF_INET : AF_INET6)
    let noDetection: UInt8 = 0x02
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let head = [family, prefix, family == UInt8(AF_INET6) ? noDetection : 0, 0] + NetlinkAttribute.bytes(of: index)
    // IFA_ADDRESS and IFA_LOCAL.
    let request = head + NetlinkAttribute.make(1, bytes) + NetlinkAttribute.make(2, bytes)
    try ask(RTM_NEWADDR, Int32(NLM_F_CREATE) | Int32(NLM_F_EXCL), request, "add address to", name)
  }

  private func addNeighbour(_ bytes: [UInt8], _ hardware: [UInt8], _ name: String) throws(KernelError) {
    let family = UInt8(bytes.count == 4 ? AF_INET : AF_INET6)
    let permanent: UInt16 = 0x80
    // struct ndmsg: family, padding, index, state, flags, type; then NDA_DST and NDA_LLADDR.
    let head = [family, 0, 0, 0] + NetlinkAttribute.bytes(of: Self.pairIndex) + NetlinkAttribute.bytes(of: permanent)
    let request = head + [0, 0] + NetlinkAttribute.make(1, bytes) + NetlinkAttribute.make(2, hardware)
    try ask(RTM_NEWNEIGH, Int32(NLM_F_CREATE) | Int32(NLM_F_EXCL), request, "add neighbour to", name)
  }

  /// Sends one request from within the namespace and waits for the kernel's acknowledgement.
  private func ask(
    _ kind: Int, _ flags: Int32, _ body: [UInt8], _ operation: String, _ subject: String
  ) throws(KernelError) {
    let head =
      NetlinkAttribute.bytes(of: UInt32(16 + body.count)) + NetlinkAttribute.bytes(of: UInt16(kind))
      + NetlinkAttribute.bytes(of: UInt16(flags | Int32(NLM_F_REQUEST) | Int32(NLM_F_ACK)))
      + [UInt8](repeating: 0, count: 8)
    let message = head + body
    let entered = descriptor.raw
    try runOnFreshThread("rtnetlink") { () throws(KernelError) in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      let netlink = try OwnedDescriptor.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), NETLINK_ROUTE)
      let sent = unsafe message.withUnsafeBytes { unsafe send(netlink.raw, $0.baseAddress, $0.count, 0) }
      try check(sent < 0 ? -errno : 0, operation, subject)
      var answer = [UInt8](repeating: 0, count: 4096)
      let count = unsafe answer.withUnsafeMutableBytes { unsafe recv(netlink.raw, $0.baseAddress, $0.count, 0) }
      try check(count < 0 ? -errno : 0, operation, subject)
      // nlmsghdr (16 bytes), then nlmsgerr, whose first field is 0 or -errno.
      let error = unsafe answer.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
      try check(count < 20 ? -EBADMSG : error, operation, subject)
    }
  }

  /// struct ifinfomsg, and the attributes of <linux/if_link.h> that a veth pair takes.
  private enum Link {
    static let hardware = 1
    static let name = 3
    static let information = 18
    static let namespaceDescriptor = 28
    static let kind = 1
    static let data = 2
    static let vethPeer = 1

    static func header(_ index: Int32, flags: UInt32 = 0, change: UInt32 = 0) -> [UInt8] {
      // Family and padding, type, index, flags, and which of them change.
      [0, 0, 0, 0] + NetlinkAttribute.bytes(of: index) + NetlinkAttribute.bytes(of: flags)
        + NetlinkAttribute.bytes(of: change)
    }
  }
}
