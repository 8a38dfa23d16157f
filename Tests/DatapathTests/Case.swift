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
  let description: String

  /// Draws a packet of a subject; what must be known of its sender is written where its egress hook would have.
  init(
    number: Int, subject: Int, labels: [LabelSet], numbers: [UInt32], policy: PolicySet, bench: ProgramBench,
    random: inout SeededGenerator
  ) throws {
    let isHost = subject == labels.count
    let direction: Direction = random.oneIn(2) ? .outgoing : .incoming
    var peer: Endpoint
    var address: IPAddress
    var vouched: Int?
    if random.oneIn(2) {
      address = RandomPolicy.address(&random)
      peer = .external(policy.networks(containing: address))
    } else {
      let other = random.below(labels.count)
      address = ProgramBench.address(of: other, isIPv4: random.oneIn(2))
      peer = .workload(labels[other])
      if direction == .incoming {
        if random.oneIn(6) { peer = .unknown } else { vouched = other }
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
    if let vouched { try Self.vouch(for: vouched, numbers, packet, source, destination, bench) }
    isLocal = vouched == subject
    self.subject = subject
    self.direction = direction
    let flow = Flow(
      direction: direction, subject: isHost ? .host() : .workload(labels[subject]), peer: peer,
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
      }
    return "\(subject) \(direction) \(by) \(!passes)"
  }

  private static func vouch(
    for workload: Int, _ numbers: [UInt32], _ packet: RandomPacket, _ source: IPAddress, _ destination: IPAddress,
    _ bench: ProgramBench
  ) throws {
    var key = sp_sender_key()
    unsafe withUnsafeMutableBytes(of: &key.source) { for index in 0..<16 { unsafe $0[index] = source.bytes[index] } }
    unsafe withUnsafeMutableBytes(of: &key.destination) { for index in 0..<16 { unsafe $0[index] = destination.bytes[index] } }
    key.source_port = packet.sourcePort.bigEndian
    key.destination_port = packet.destinationPort.bigEndian
    key.sequence = packet.sequence.bigEndian
    key.protocol = packet.proto.rawValue
    var sender = sp_sender()
    if workload == numbers.count {
      sender.identity = IdentityNumber.host.rawValue
    } else {
      sender.workload = bench.cgroups[workload].id.rawValue
      sender.identity = numbers[workload]
    }
    try bench.senders.set(sender, for: key)
  }
}
