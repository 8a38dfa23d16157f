// A flow record read back from its JSON line; the only file that needs Foundation's decoder.

internal import FoundationEssentials

/// One line of the flow log.
///
/// Fields that a line does not have are nil; see docs/FLOWS.md.
package struct FlowLine: Codable, Sendable, Equatable {
  /// A rule.
  package struct Rule: Codable, Sendable, Equatable {
    /// The rule set.
    package var ruleSet: String
    /// The rule's name; may be empty.
    package var name: String
    /// The direction of the list that it stands in.
    package var direction: String?
    /// Its position in that list, from 0.
    package var position: Int
  }

  /// What an observed rule would have done.
  package struct Observed: Codable, Sendable, Equatable {
    /// `allow` or `reject`.
    package var action: String
    /// The rule; nil if the whole workload is observed.
    package var rule: Rule?
  }

  /// One end.
  package struct End: Codable, Sendable, Equatable {
    /// The address.
    package var address: String
    /// The port.
    package var port: UInt16?
    /// The identity, 16 hexadecimal digits.
    package var identity: String?
    /// The labels.
    package var labels: [String: String]?
    /// The external networks that contain the address.
    package var networks: [String]?
    /// The cgroup path of the workload on this host.
    package var workload: String?

    /// Labels as `k=v,k2=v2`, networks, or the address alone.
    package var name: String {
      if let networks, !networks.isEmpty { return networks.joined(separator: ",") }
      guard let labels, !labels.isEmpty else { return "" }
      if labels.count == 1, let reserved = labels["sallyport.identity"] { return reserved }
      return labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    }
  }

  /// The process at the subject's end.
  package struct Process: Codable, Sendable, Equatable {
    /// The process id.
    package var pid: UInt32
    /// The task's name.
    package var comm: String
    /// The executable.
    package var exe: String?
    /// The user id.
    package var uid: UInt32
    /// The user's name.
    package var user: String?
  }

  /// An amount each way, seen from the subject.
  package struct Amount: Codable, Sendable, Equatable {
    /// Sent by the subject.
    package var sent: UInt64
    /// Received by the subject.
    package var received: UInt64
  }

  /// RFC 3339 with nine digits, UTC.
  package var time: String
  /// `open`, `refused` or `close`.
  package var event: String
  /// `outgoing` or `incoming`.
  package var direction: String
  /// `allow` or `reject`.
  package var verdict: String
  /// `rule`, `default`, `local`, `excluded`, `invalid`, `error`.
  package var decidedBy: String?
  /// The rule.
  package var rule: Rule?
  /// The observation.
  package var observed: Observed?
  /// It had been allowed before.
  package var revoked: Bool?
  /// Refused at connect() for the other end.
  package var peerSide: Bool?
  /// It never was established.
  package var failed: Bool?
  /// The rule asks for a log.
  package var log: Bool?
  /// The record with the verdict was lost.
  package var incomplete: Bool?
  /// The generation of the tables that decided.
  package var generation: UInt32
  /// `tcp`, `udp`, `sctp`, `icmp`, `icmp6`, `ip/N`.
  package var `protocol`: String
  /// The ICMP type.
  package var icmpType: UInt16?
  /// Who began.
  package var source: End
  /// The other.
  package var destination: End
  /// How the peer is known: `unknown`, `address`, `socket`, `handoff`.
  package var assurance: String?
  /// The process.
  package var process: Process?
  /// Bytes.
  package var bytes: Amount?
  /// Packets.
  package var packets: Amount?
  /// Microseconds.
  package var rtt: UInt32?
  /// Nanoseconds.
  package var duration: UInt64?

  /// Whether it passed although an observed rule, or policy on an observed workload, says reject.
  package var wouldBeRefused: Bool { verdict == "allow" && observed?.action == "reject" }

  /// Reads one line; nil if it is not a flow record.
  package init?(json line: ArraySlice<UInt8>) {
    guard let read = try? JSONDecoder().decode(FlowLine.self, from: Data(line)) else { return nil }
    self = read
  }
}
