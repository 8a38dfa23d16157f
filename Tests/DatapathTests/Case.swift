// One question to the kernel and to the specification.
import BPF
import CDatapath
import Enforcement
import Kernel
import Policy
import TestSupport

struct Case: Sendable, CustomStringConvertible {
  let subject: Int
  let direction: Direction
  let packet: RandomPacket
  let verdict: Verdict
  let isLocal: Bool
  /// Where the sender's egress hook would have said who it is; two cases of one batch must not say different things there.
  let voucher: [UInt8]?
  /// Who it says; the number of workloads stands for the host.
  let vouched: Int?
  let description: String
  /// Packets of one socket that have this in common may be one conversation, of which only the first is judged and counted.
  let conversation: [UInt8]

  /// Draws a packet of a subject; what must be known of its sender is written where its egress hook would have.
  init(
    number: Int, subject: Int, labels: [LabelSet], policy: PolicySet, orphaning: Bool,
    random: inout SeededGenerator
  ) {
    let isHost = subject == labels.count
    let isOrphan = orphaning && subject == ProgramBench.orphan
    let direction: Direction = random.oneIn(2) ? .outgoing : .incoming
    var peer: Endpoint
    var address: IPAddress
    var vouched: Int?
    if random.oneIn(2) {
      address = RandomPolicy.address(&random)
      peer = .external(policy.networks(containing: address))
    } else {
      var other = random.below(labels.count)
      // A packet to oneself over the wire would vouch, for real, for the packets that others claim to be from here.
      if direction == .outgoing, other == subject { other = (other + 1) % labels.count }
      address = ProgramBench.address(of: other, isIPv4: random.oneIn(2))
      peer = .workload(labels[other])
      if direction == .incoming {
        // An orphan's egress hook refuses, so nobody vouches for it.
        if random.oneIn(6) || orphaning && other == ProgramBench.orphan { peer = .unknown } else { vouched = other }
      }
    }
    if direction == .incoming, vouched == nil, peer != .unknown, random.oneIn(8) {
      // The host of this machine, from another namespace, under whatever address.
      vouched = labels.count
      peer = .host()
    }
    let own = ProgramBench.address(of: subject, isIPv4: address.isIPv4)
    let (source, destination) = direction == .outgoing ? (own, address) : (address, own)
    packet = RandomPacket(from: source, to: destination, number: number, using: &random)
    // Of ICMP the type; an echo's identifier would tell more of them apart.
    let port = [UInt8(packet.destinationPort >> 8), UInt8(packet.destinationPort & 255)]
    conversation = [packet.proto.rawValue] + port + (0..<16).map { address.bytes[$0] }
    voucher = direction == .incoming ? Self.key(packet, source, destination) : nil
    self.vouched = vouched
    isLocal = vouched == subject
    self.subject = subject
    self.direction = direction
    let flow = Flow(
      direction: direction,
      subject: isOrphan ? .unlabelled(childOf: "parent") : isHost ? .host() : .workload(labels[subject]), peer: peer,
      protocol: packet.proto, port: packet.port, sameWorkload: isLocal)
    verdict = policy.verdict(for: flow)
    description = "\(flow), \(source) → \(destination), vouched by \(vouched.map(String.init) ?? "nobody")"
  }

  /// What the kernel counts it under.
  func reason(applied passes: Bool) -> String {
    let by: FlowEvent.DecidedBy =
      switch verdict.decidedBy {
      case .rule: .rule
      case .default: .default
      case .local: .local
      case .unlabelled: .unlabelled
      }
    return "\(subject) \(direction) \(by) \(!passes)"
  }

  private static func key(_ packet: RandomPacket, _ source: IPAddress, _ destination: IPAddress) -> [UInt8] {
    var key = sp_handoff_key()
    unsafe withUnsafeMutableBytes(of: &key.source) { for index in 0..<16 { unsafe $0[index] = source.bytes[index] } }
    unsafe withUnsafeMutableBytes(of: &key.destination) {
      for index in 0..<16 { unsafe $0[index] = destination.bytes[index] }
    }
    key.source_port = packet.sourcePort.bigEndian
    key.destination_port = packet.destinationPort.bigEndian
    key.sequence = packet.sequence.bigEndian
    key.protocol = packet.proto.rawValue
    return unsafe withUnsafeBytes(of: key) { unsafe Array($0) }
  }

  /// Writes what the sender's egress hook would have written, or takes away what an earlier case left there.
  func vouch(_ bench: ProgramBench, numbers: [UInt32]) throws {
    guard let voucher else { return }
    let key = unsafe voucher.withUnsafeBytes { unsafe $0.loadUnaligned(as: sp_handoff_key.self) }
    guard let vouched else {
      _ = try bench.senders.remove(key)
      return
    }
    var sender = sp_handoff()
    // One credit, that does not get old.
    (sender.time, sender.sent) = (1 << 62, 1)
    if vouched == numbers.count {
      sender.identity = IdentityNumber.host.rawValue
    } else {
      sender.workload = bench.cgroups[vouched].id.rawValue
      sender.identity = numbers[vouched]
    }
    try bench.senders.set(sender, for: key)
  }
}
