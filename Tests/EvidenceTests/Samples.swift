// Events and names that the tests of evidence share.

import Enforcement
import Evidence
import JSON
import Kernel
import Policy

/// A small world: web (cgroup 100) talks to api (cgroup 200); one external network.
enum Sample {
  static let web = IdentityNumber(rawValue: 16)
  static let api = IdentityNumber(rawValue: 17)
  static let corp = IdentityNumber(rawValue: 131_072)
  /// Turns monotonic 0 into 2026-11-22T23:22:42Z.
  static let clock = ClockOffset(nanoseconds: 1_795_389_762_000_000_000)

  static func labels(_ text: (String, String)...) throws -> LabelSet {
    try LabelSet(text.map { try Label($0.0, $0.1) })
  }

  static func names() throws -> FlowNames {
    let rules = [
      RuleReference(
        ruleSet: "web", direction: .outgoing, position: 0, name: "to-api", action: .allow, mode: .enforce,
        source: .none),
      RuleReference(
        ruleSet: "api", direction: .incoming, position: 2, name: "", action: .reject, mode: .observe, source: .none),
    ]
    let names = NamesInForce(
      rules: rules, identities: [web: try labels(("app", "web")), api: try labels(("app", "api"), ("tier", "2"))],
      externals: [corp: ["corp", "office"]], workloads: [workload(100, "/t/web"), workload(200, "/t/api")])
    return FlowNames(names, reusing: nil)
  }

  static func workload(_ id: UInt64, _ path: String) -> WorkloadInstance {
    WorkloadInstance(cgroup: CgroupID(rawValue: id), path: path, level: 2, labels: .empty)
  }

  static func tracker(limit: Int = 1000) throws -> FlowTracker {
    var tracker = FlowTracker(clock: clock, limit: limit)
    tracker.publish(try names(), generation: 7)
    return tracker
  }

  static func address(_ text: String) throws -> IPAddress { try IPAddress(parsing: text) }

  static func attempt(_ socket: UInt64, at time: UInt64, command: String = "curl") throws -> FlowEvent {
    var event = FlowEvent(kind: .attempt, time: time, socket: socket)
    event.direction = .outgoing
    event.protocol = .tcp
    event.action = .allow
    event.decidedBy = .rule
    event.rule = 1
    event.generation = 7
    event.subject = web
    event.workload = 100
    event.peer = api
    event.peerWorkload = 200
    event.assurance = .socket
    event.remote = try address("10.0.0.2")
    event.remotePort = 80
    event.pid = 4711
    event.uid = 1000
    event.command = CommandName(command)
    return event
  }

  static func open(_ socket: UInt64, at time: UInt64, rtt: UInt32 = 85) throws -> FlowEvent {
    var event = FlowEvent(kind: .open, time: time, socket: socket)
    event.direction = .outgoing
    event.protocol = .tcp
    event.local = try address("10.0.0.1")
    event.localPort = 43210
    event.remote = try address("10.0.0.2")
    event.remotePort = 80
    event.rtt = rtt
    return event
  }

  static func close(_ socket: UInt64, at time: UInt64) throws -> FlowEvent {
    var event = try open(socket, at: time, rtt: 90)
    event.kind = .close
    // 100 and the SYN, which the kernel counts.
    event.bytesSent = 101
    event.bytesReceived = 2000
    event.packetsSent = 6
    event.packetsReceived = 5
    return event
  }

  static func lines(_ records: [FlowRecord]) -> [String] {
    var encoder = FlowEncoder()
    var json = JSONWriter()
    for record in records { encoder.append(record, to: &json) }
    return String(decoding: json.bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  static func joined(_ tracker: inout FlowTracker, _ events: [FlowEvent]) -> [FlowRecord] {
    events.compactMap { tracker.join($0) }
  }
}
