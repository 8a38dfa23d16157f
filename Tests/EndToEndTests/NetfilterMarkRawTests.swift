// Raw sockets in the mark view: nothing tells a user's socket from the kernel's there, so the form of a message decides.
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(
  "Mark view of netfilter: raw sockets", .serialized,
  .requires(
    .root, .bpf, .cgroups, .pins, .networkNamespaces, .program("iptables", package: "iptables")), .policedInMarkView)
struct NetfilterMarkRawTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func confined() async throws -> (web: PolicedThread, pair: Policed.NamespacePair) {
    try await policed.apply(Policed.defaults())
    return (try await policed.workload("web", "app=web"), try policed.pair())
  }

  @Test("errors that are about no flow are refused, as router advertisements, redirects and what is long")
  func notices() async throws {
    let (web, pair) = try await confined()
    for kind in ICMPKind.notices {
      let address = ICMPChannelTests.there(kind.family)
      let message = icmpMessage(kind.type, code: kind.code, payload: [UInt8](repeating: 0x77, count: 64))
      // MLD is told by its hop limit, the rest of discovery by its length too.
      let hops: Int32 = (130...132).contains(kind.type) || kind.type == 143 ? 64 : 255
      #expect(
        try web.refusal(in: pair.left) {
          let socket = try TestSocket.icmp(kind.family)
          if kind.family == .ipv6 { try socket.setOption(41, 16, hops) }
          _ = try socket.send(bytes: message, to: address)
        } == .notPermitted, "\(kind.testDescription)")
    }
  }

  @Test("the kernel's own discovery passes, from a namespace that the workload made")
  func discovery() async throws {
    let (web, _) = try await confined()
    let made = try web.run { try NetworkNamespace.anonymous() }
    try made.bringLoopbackUp()
    try policed.datapath.police([made])
    let other = try policed.sandbox.makeNamespace()
    try policed.sandbox.connect(made, ["fd78::1/64"], other, ["fd78::2/64"])
    try policed.sandbox.command(["ping", "-6", "-c", "1", "-W", "5", "fd78::1"], namespace: other)
  }

  @Test("a segment by a raw socket is judged, whatever its flags")
  func segments() async throws {
    let (web, pair) = try await confined()
    for flags: PacketBuilder.TCPFlags in [.syn, .ack, [.psh, .ack], .fin, .rst] {
      for source: UInt16 in [6, 1234] {
        let segment = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: [10, 77, 0, 2])
          .tcp(from: source, to: 9999, flags: flags, payload: [UInt8](repeating: 1, count: 64)).withoutEthernet.bytes
        // A rule answers a segment with a reset, and the sender sees no error: nothing arrives.
        let witness = try pair.right.run { try TestSocket.frames(receiving: 0x0800) }
        _ = try web.refusal(in: pair.left) { try TestSocket.packets().send(bytes: segment, to: "10.77.0.2") }
        #expect(throws: Errno.timedOut, "\(flags.rawValue) \(source)") { _ = try witness.receiveBytes(within: 100) }
      }
    }
  }
}
