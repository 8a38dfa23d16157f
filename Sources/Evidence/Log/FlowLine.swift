// A flow record read back from its JSON line; the only file that needs Foundation's decoder.

internal import FoundationEssentials

/// One line of the flow log.
///
/// Fields that a line does not have are nil; see docs/FLOWS.md.
public struct FlowLine: Codable, Sendable, Equatable {
  /// A rule.
  public struct Rule: Codable, Sendable, Equatable {
    /// The rule set.
    public var ruleSet: String
    /// The rule's name; may be empty.
    public var name: String
    /// The direction of the list that it stands in.
    public var direction: String?
    /// Its position in that list, from 0.
    public var position: Int
  }

  /// What an observed rule would have done.
  public struct Observed: Codable, Sendable, Equatable {
    /// `allow` or `reject`.
    public var action: String
    /// The rule; nil if the whole workload is observed.
    public var rule: Rule?
  }

  /// One end.
  public struct End: Codable, Sendable, Equatable {
    /// The address.
    public var address: String
    /// The port.
    public var port: UInt16?
    /// The identity, 16 hexadecimal digits.
    public var identity: String?
    /// The labels.
    public var labels: [String: String]?
    /// The external networks that contain the address.
    public var networks: [String]?
    /// The cgroup path of the workload on this host.
    public var workload: String?

    /// Labels as `k=v,k2=v2`, networks, or the address alone.
    public var name: String {
      if let networks, !networks.isEmpty { return networks.joined(separator: ",") }
      guard let labels, !labels.isEmpty else { return "" }
      if labels.count == 1, let reserved = labels["sallyport.identity"] { return reserved }
      return labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    }
  }

  /// The process at the subject's end.
  public struct Process: Codable, Sendable, Equatable {
    /// The process id.
    public var pid: UInt32
    /// The task's name.
    public var comm: String
    /// The executable.
    public var exe: String?
    /// The user id.
    public var uid: UInt32
    /// The user's name.
    public var user: String?
  }

  /// An amount each way, seen from the subject.
  public struct Amount: Codable, Sendable, Equatable {
    /// Sent by the subject.
    public var sent: UInt64
    /// Received by the subject.
    public var received: UInt64
  }

  /// RFC 3339 with nine digits, UTC.
  public var time: String
  /// `open`, `refused` or `close`.
  public var event: String
  /// `outgoing` or `incoming`.
  public var direction: String
  /// `allow` or `reject`.
  public var verdict: String
  /// `rule`, `default`, `local`, `excluded`, `invalid`, `error`.
  public var decidedBy: String?
  /// The rule.
  public var rule: Rule?
  /// The observation.
  public var observed: Observed?
  /// It had been allowed before.
  public var revoked: Bool?
  /// Refused at connect() for the other end.
  public var peerSide: Bool?
  /// It never was established.
  public var failed: Bool?
  /// The rule asks for a log.
  public var log: Bool?
  /// The record with the verdict was lost.
  public var incomplete: Bool?
  /// The generation of the tables that decided.
  public var generation: UInt32
  /// `tcp`, `udp`, `sctp`, `icmp`, `icmp6`, `ip/N`.
  public var `protocol`: String
  /// The ICMP type.
  public var icmpType: UInt16?
  /// Who began.
  public var source: End
  /// The other.
  public var destination: End
  /// How the peer is known: `unknown`, `address`, `socket`, `handoff`.
  public var assurance: String?
  /// The process.
  public var process: Process?
  /// Bytes.
  public var bytes: Amount?
  /// Packets.
  public var packets: Amount?
  /// Microseconds.
  public var rtt: UInt32?
  /// Nanoseconds.
  public var duration: UInt64?

  /// Whether it passed although an observed rule, or policy on an observed workload, says reject.
  public var wouldBeRefused: Bool { verdict == "allow" && observed?.action == "reject" }

  /// Reads one line; nil if it is not a flow record.
  public init?(json line: ArraySlice<UInt8>) {
    guard let read = try? JSONDecoder().decode(FlowLine.self, from: Data(line)) else { return nil }
    self = read
  }
}
