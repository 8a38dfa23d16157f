// Flow records as JSON lines; the schema is docs/FLOWS.md.

internal import Enforcement
package import JSON
internal import Policy

/// Writes records as JSON, one per line.
package struct FlowEncoder: Sendable {
  private var format = TimeFormat()

  /// An encoder.
  package init() {}

  /// Appends one record and a newline.
  package mutating func append(_ record: borrowing FlowRecord, to json: inout JSONWriter) {
    json.raw("{\"time\":\"")
    format.append(record.time, to: &json)
    json.raw("\",\"event\":\"")
    json.raw(record.event.name)
    json.raw("\",\"direction\":\"")
    json.raw(record.flow.direction == .outgoing ? "outgoing" : "incoming")
    json.raw("\"")
    appendVerdict(record, to: &json)
    json.raw(",\"generation\":")
    json.number(UInt64(record.flow.generation))
    appendEnds(record, to: &json)
    if let process = record.names.process {
      json.raw(",\"process\":")
      json.raw(process.json)
    }
    appendAmounts(record, to: &json)
    json.raw("}\n")
  }

  private func appendVerdict(_ record: borrowing FlowRecord, to json: inout JSONWriter) {
    let flow = record.flow
    json.raw(",\"verdict\":\"")
    json.raw(record.event == .refused ? "reject" : (flow.action ?? .allow).name)
    json.raw("\"")
    if flow.decidedBy != .nothing {
      json.raw(",\"decidedBy\":\"")
      json.raw(flow.decidedBy.name)
      json.raw("\"")
    }
    if let rule = record.names.rule {
      json.raw(",\"rule\":")
      json.raw(rule.json)
    }
    if let observed = flow.observedAction {
      json.raw(",\"observed\":{\"action\":\"")
      json.raw(observed.name)
      json.raw("\"")
      if let rule = record.names.observedRule {
        json.raw(",\"rule\":")
        json.raw(rule.json)
      }
      json.raw("}")
    }
    if flow.flags.contains(.revoked) { json.raw(",\"revoked\":true") }
    if flow.flags.contains(.peerSide) { json.raw(",\"peerSide\":true") }
    if flow.flags.contains(.failed) { json.raw(",\"failed\":true") }
    if flow.flags.contains(.log) { json.raw(",\"log\":true") }
    if record.isIncomplete { json.raw(",\"incomplete\":true") }
  }

  private func appendEnds(_ record: borrowing FlowRecord, to json: inout JSONWriter) {
    let flow = record.flow
    let names = record.names
    let hasPorts = flow.protocol.hasPorts
    json.raw(",\"protocol\":\"")
    appendProtocol(flow.protocol, to: &json)
    json.raw("\"")
    if flow.protocol.hasTypes {
      json.raw(",\"icmpType\":")
      json.number(UInt64(flow.remotePort))
    }
    let isOutgoing = flow.direction == .outgoing
    for isSource in [true, false] {
      json.raw(isSource ? ",\"source\":{\"address\":\"" : ",\"destination\":{\"address\":\"")
      let isSubject = isSource == isOutgoing
      appendAddress(isSubject ? flow.local : flow.remote, to: &json)
      json.raw("\"")
      let port = isSubject ? flow.localPort : flow.remotePort
      if hasPorts && port != 0 {
        json.raw(",\"port\":")
        json.number(UInt64(port))
      }
      if !record.isIncomplete, let identity = isSubject ? names.subject : names.peer {
        json.raw(",")
        json.raw(identity.json)
      }
      if let workload = isSubject ? names.subjectWorkload : names.peerWorkload {
        json.raw(",\"workload\":")
        json.raw(workload.json)
      }
      json.raw("}")
    }
    if !record.isIncomplete {
      json.raw(",\"assurance\":\"")
      json.raw(flow.assurance.name)
      json.raw("\"")
    }
  }

  private func appendAmounts(_ record: borrowing FlowRecord, to json: inout JSONWriter) {
    let flow = record.flow
    if record.event == .close {
      json.raw(",\"bytes\":{\"sent\":")
      json.number(flow.bytesSent)
      json.raw(",\"received\":")
      json.number(flow.bytesReceived)
      json.raw("},\"packets\":{\"sent\":")
      json.number(flow.packetsSent)
      json.raw(",\"received\":")
      json.number(flow.packetsReceived)
      json.raw("}")
    }
    if flow.rtt != 0 {
      json.raw(",\"rtt\":")
      json.number(UInt64(flow.rtt))
    }
    if let duration = record.duration {
      json.raw(",\"duration\":")
      json.number(duration)
    }
  }

  private func appendProtocol(_ number: IPProtocol, to json: inout JSONWriter) {
    switch number {
    case .tcp: json.raw("tcp")
    case .udp: json.raw("udp")
    case .sctp: json.raw("sctp")
    case .icmp: json.raw("icmp")
    case .icmp6: json.raw("icmp6")
    default:
      json.raw("ip/")
      json.number(UInt64(number.rawValue))
    }
  }

  private func appendAddress(_ address: IPAddress, to json: inout JSONWriter) {
    guard let ipv4 = address.ipv4 else {
      json.raw([UInt8](address.description.utf8))
      return
    }
    for shift: UInt32 in [24, 16, 8, 0] {
      json.number(UInt64(ipv4 >> shift & 0xff))
      if shift > 0 { json.raw(".") }
    }
  }
}
