// What the kernel programs tell of one flow, as Swift values: the reading side of `struct sp_record`.

package import CDatapath
package import Policy

/// One record of the kernel programs: an attempt, an opening, a refusal, a close or a bind.
///
/// Plain bits without references, so that a million a second can be copied and queued. Local and remote are seen from
/// the subject, the end whose hook wrote the record.
package struct FlowEvent: BitwiseCopyable, Sendable, Equatable {
  /// What happened.
  package enum Kind: BitwiseCopyable, Sendable, CaseIterable {
    /// A connect() passed its hook; the process is known, the local port is not.
    case attempt
    /// A verdict refused it.
    case refused
    /// A TCP connection is established, or the first packet of another conversation passed.
    case open
    /// A connection or conversation ended, with its counts.
    case close
    /// A process bound a socket to a local address and port.
    case bind
  }

  /// What decided a verdict.
  package enum DecidedBy: BitwiseCopyable, Sendable, CaseIterable {
    /// No verdict was made here.
    case nothing
    /// The rule of the record.
    case rule
    /// No rule matched.
    case `default`
    /// Both ends are the same workload.
    case local
    /// Passed beside policy: the kernel's own ICMP; at raw sockets, errors about a live flow, discovery from the link.
    case excluded
    /// The headers cannot be read, or a fragment came without its transport header.
    case invalid
    /// A table that must be there is not.
    case error
    /// The subject is a cgroup without labels below the record's workload, which rejects such children.
    case unlabelled
    /// Another workload's packets with the same addresses and ports are on the way, or the source address is that workload's.
    case sender
    /// Several sockets of several workloads may receive it, or too many would have to be looked at: refused.
    case ambiguous
  }

  /// How the identity of the other end is known.
  package enum Assurance: BitwiseCopyable, Sendable, CaseIterable {
    /// It is not.
    case unknown
    /// From its address alone.
    case address
    /// Its socket was found in the same network namespace.
    case socket
    /// Its own egress hook on this host told, for this very packet or conversation.
    case handoff
  }

  /// Further facts of a record; the bits are those of the kernel's header.
  package struct Flags: OptionSet, BitwiseCopyable, Sendable {
    /// The bits as the kernel writes them.
    package let rawValue: UInt8

    /// Takes the bits as the kernel writes them.
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The rule asks for a log line.
    package static let log = Flags(rawValue: UInt8(SP_RECORD_LOG))
    /// The flow had been allowed before.
    package static let revoked = Flags(rawValue: UInt8(SP_RECORD_REVOKED))
    /// Refused at connect() for the incoming side of the other workload.
    package static let peerSide = Flags(rawValue: UInt8(SP_RECORD_PEER_SIDE))
    /// The close of a connection that never was established.
    package static let failed = Flags(rawValue: UInt8(SP_RECORD_FAILED))
  }

  /// When, in nanoseconds of CLOCK_MONOTONIC.
  package var time: UInt64 = 0
  /// The cookie of the socket that the record is about.
  package var socket: UInt64 = 0
  /// The cookie of the listening socket, in the `open` of an accepted connection; else 0.
  package var listener: UInt64 = 0
  /// The cgroup id of the subject's labelled ancestor; 0 = the host.
  package var workload: UInt64 = 0
  /// The cgroup id of the peer's workload when it is on this host and known; else 0.
  package var peerWorkload: UInt64 = 0
  /// The cgroup id of the task, in `attempt` and `bind`; else 0.
  package var cgroup: UInt64 = 0
  /// Payload bytes that were sent and acknowledged (TCP), or IP bytes (all else).
  package var bytesSent: UInt64 = 0
  /// Payload bytes that came in (TCP), or IP bytes (all else).
  package var bytesReceived: UInt64 = 0
  /// Segments or packets sent.
  package var packetsSent: UInt64 = 0
  /// Segments or packets received.
  package var packetsReceived: UInt64 = 0
  /// How long the flow lived, in nanoseconds, where the writer of the event knows it; else 0.
  package var duration: UInt64 = 0
  private var localHigh: UInt64 = 0
  private var localLow: UInt64 = 0
  private var remoteHigh: UInt64 = 0
  private var remoteLow: UInt64 = 0
  /// The name of the task, where a process is known.
  package var command = CommandName()
  /// The smoothed round-trip time in microseconds; 0 = not measured.
  package var rtt: UInt32 = 0
  private var subjectNumber: UInt32 = 0
  private var peerNumber: UInt32 = 0
  /// The number of the winning rule in the tables of `generation`; 0 = none.
  package var rule: UInt32 = 0
  /// The number of the observed rule that would have won; 0 = none.
  package var observedRule: UInt32 = 0
  /// The generation of the tables that decided.
  package var generation: UInt32 = 0
  /// The process (thread group); 0 = not known here.
  package var pid: UInt32 = 0
  /// The user of the process.
  package var uid: UInt32 = 0
  /// The thread.
  package var tid: UInt32 = 0
  /// The subject's port in host byte order; the identifier of an ICMP echo.
  package var localPort: UInt16 = 0
  /// The other port in host byte order; the type of an ICMP message.
  package var remotePort: UInt16 = 0
  /// What happened.
  package var kind: Kind
  /// Who began: outgoing = the subject.
  package var direction: Direction = .outgoing
  private var protocolByte: UInt8 = 0
  /// What was done; nil where no verdict was made.
  package var action: Action?
  /// What the observed rule, or policy for an observed workload, would have done; nil if nothing else.
  package var observedAction: Action?
  /// What decided.
  package var decidedBy: DecidedBy = .nothing
  /// How the peer's identity is known.
  package var assurance: Assurance = .unknown
  /// Further facts.
  package var flags: Flags = []

  /// An event with nothing but its kind, time and socket; the rest is set by property.
  package init(kind: Kind, time: UInt64, socket: UInt64) {
    self.kind = kind
    self.time = time
    self.socket = socket
  }

  /// Reads a record of the kernel; nil if its kind or direction is not one that this version knows.
  package init?(_ record: sp_record) {
    guard let kind = Rows.kind(record.kind), let direction = Rows.direction(record.direction) else { return nil }
    self.kind = kind
    self.direction = direction
    time = record.time
    socket = record.socket
    listener = record.listener
    workload = record.workload
    peerWorkload = record.peer_workload
    cgroup = record.cgroup
    bytesSent = record.bytes_sent
    bytesReceived = record.bytes_received
    packetsSent = UInt64(record.packets_sent)
    packetsReceived = UInt64(record.packets_received)
    (localHigh, localLow) = Self.halves(record.local)
    (remoteHigh, remoteLow) = Self.halves(record.remote)
    // Same size, no references: the bytes of the name in the order in which they lie in memory.
    let name = unsafe unsafeBitCast(record.comm, to: (UInt64, UInt64).self)
    command = CommandName(first: name.0.bigEndian, second: name.1.bigEndian)
    rtt = record.rtt
    subjectNumber = record.subject
    peerNumber = record.peer
    rule = record.rule
    observedRule = record.observed_rule
    generation = record.generation
    pid = record.pid
    uid = record.uid
    tid = record.tid
    localPort = record.local_port
    remotePort = record.remote_port
    protocolByte = record.protocol
    action = Rows.action(record.action)
    observedAction = Rows.action(record.observed_action)
    decidedBy = Rows.decidedBy(record.decided_by) ?? .error
    assurance = Rows.assurance(record.assurance) ?? .unknown
    flags = Flags(rawValue: record.flags)
  }

  /// Reads a batch of records and says how many could not be read.
  package static func events(from records: [sp_record]) -> (events: [FlowEvent], malformed: Int) {
    var events: [FlowEvent] = []
    events.reserveCapacity(records.count)
    for record in records {
      if let event = FlowEvent(record) { events.append(event) }
    }
    return (events, records.count - events.count)
  }

  /// The two halves, in host byte order, of 16 bytes in network order.
  static func halves<Bytes: BitwiseCopyable>(_ bytes: Bytes) -> (UInt64, UInt64) {
    // The C array of 16 bytes arrives as a tuple; loading it as two words is what makes a million a second cheap.
    let words = unsafe unsafeBitCast(bytes, to: (UInt64, UInt64).self)
    return (UInt64(bigEndian: words.0), UInt64(bigEndian: words.1))
  }
}

extension FlowEvent {
  /// The subject's address; `::` where it is not known yet.
  package var local: IPAddress {
    get { IPAddress(high: localHigh, low: localLow) }
    set { (localHigh, localLow) = (newValue.high, newValue.low) }
  }

  /// The other end's address.
  package var remote: IPAddress {
    get { IPAddress(high: remoteHigh, low: remoteLow) }
    set { (remoteHigh, remoteLow) = (newValue.high, newValue.low) }
  }

  /// The subject's identity in this host's tables.
  package var subject: IdentityNumber {
    get { IdentityNumber(rawValue: subjectNumber) }
    set { subjectNumber = newValue.rawValue }
  }

  /// The peer's identity in this host's tables.
  package var peer: IdentityNumber {
    get { IdentityNumber(rawValue: peerNumber) }
    set { peerNumber = newValue.rawValue }
  }

  /// The IP protocol.
  package var `protocol`: IPProtocol {
    get { IPProtocol(rawValue: protocolByte) }
    set { protocolByte = newValue.rawValue }
  }

  /// The port that policy looks at, in host byte order: that of the destination, or the ICMP type.
  package var destinationPort: UInt16 {
    if self.protocol.hasTypes { return remotePort }
    return direction == .outgoing ? remotePort : localPort
  }
}

/// The name of a task as the kernel holds it: at most 15 bytes of anything but NUL.
package struct CommandName: BitwiseCopyable, Sendable, Hashable {
  /// The first eight bytes, the first one highest.
  package let first: UInt64
  /// The other eight bytes.
  package let second: UInt64

  /// Takes both halves, the first byte highest.
  package init(first: UInt64 = 0, second: UInt64 = 0) {
    self.first = first
    self.second = second
  }

  /// The first 15 bytes of a text.
  package init(_ text: String) {
    var halves: (UInt64, UInt64) = (0, 0)
    for (index, byte) in text.utf8.prefix(15).enumerated() {
      let shift = UInt64(56 - index % 8 * 8)
      if index < 8 { halves.0 |= UInt64(byte) << shift } else { halves.1 |= UInt64(byte) << shift }
    }
    self.init(first: halves.0, second: halves.1)
  }

  /// Whether no name is known.
  package var isEmpty: Bool { first >> 56 == 0 }

  /// Calls `body` with each byte before the first NUL.
  package func forEachByte(_ body: (UInt8) -> Void) {
    for index in 0..<16 {
      let half = index < 8 ? first : second
      let byte = UInt8(truncatingIfNeeded: half >> UInt64(56 - index % 8 * 8))
      if byte == 0 { return }
      body(byte)
    }
  }

  /// The name as text; what is not UTF-8 becomes U+FFFD.
  package var text: String {
    var bytes: [UInt8] = []
    forEachByte { bytes.append($0) }
    return String(decoding: bytes, as: UTF8.self)
  }
}
