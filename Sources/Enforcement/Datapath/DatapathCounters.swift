// The kernel's counters as Swift values.

internal import CDatapath
public import Kernel
public import Policy

/// What was judged for one workload, summed over all CPUs.
public struct WorkloadCounts: Sendable, Equatable {
  /// `[direction][decided by << 1 | refused]`, then observed and revoked: the layout of `struct sp_counts`.
  var numbers: [UInt64]

  /// How many numbers one direction has.
  static let perDirection = Int(SP_COUNTS)

  init() { numbers = Array(repeating: 0, count: 2 * Self.perDirection) }

  /// How many packets or calls were judged so, and then allowed or refused.
  public subscript(direction: Direction, decidedBy: FlowEvent.DecidedBy, refused refused: Bool) -> UInt64 {
    numbers[Int(direction.rawValue) * Self.perDirection + Int(decidedBy.rawValue) << 1 + (refused ? 1 : 0)]
  }

  /// How often an observed rule or an observed workload would have changed the outcome.
  public func observed(_ direction: Direction) -> UInt64 {
    numbers[Int(direction.rawValue) * Self.perDirection + Int(SP_COUNT_OBSERVED)]
  }

  /// How many conversations the kernel ended because policy no longer allows them.
  public func revoked(_ direction: Direction) -> UInt64 {
    numbers[Int(direction.rawValue) * Self.perDirection + Int(SP_COUNT_REVOKED)]
  }

  /// How many conversations the kernel ended early, because the workload's share was used up.
  public func evicted(_ direction: Direction) -> UInt64 {
    numbers[Int(direction.rawValue) * Self.perDirection + Int(SP_COUNT_EVICTED)]
  }

  /// How many records of the workload were lost, because the ring or its share of it was full.
  public var recordsLost: UInt64 {
    numbers[Int(Direction.outgoing.rawValue) * Self.perDirection + Int(SP_COUNT_RECORDS_LOST)]
  }
}

/// Counters of the datapath itself, summed over all CPUs.
public struct DatapathStatistics: Sendable, Equatable {
  /// Records written to the ring.
  public var records: UInt64 = 0
  /// Records lost because the ring was full.
  public var recordsLost: UInt64 = 0
  /// Records left out because the same refusal was reported within the second before.
  public var recordsSuppressed: UInt64 = 0
  /// Conversations judged as new because no state could be kept.
  public var conversationsFull: UInt64 = 0
  /// Conversations that ended early, so that others find room.
  public var evicted: UInt64 = 0
  /// Senders that could not be told to the receiver.
  public var sendersFailed: UInt64 = 0
  /// Senders that two workloads claimed to be.
  public var sendersAmbiguous: UInt64 = 0
  /// Packets refused because a table was missing.
  public var tableMissing: UInt64 = 0

  /// All zero.
  public init() {}
}

/// How many conversations a workload holds that began one way.
public struct ConversationShare: Sendable, Equatable {
  /// The workload; nil = the host.
  public var workload: CgroupID?
  /// Who began them: outgoing = the workload.
  public var direction: Direction
  /// How many there are.
  public var held: Int

  /// Takes all parts.
  public init(workload: CgroupID?, direction: Direction, held: Int) {
    self.workload = workload
    self.direction = direction
    self.held = held
  }

  /// How many there is room for on this host.
  public static let capacity = Int(SP_TALKS)
}

/// Everything that the kernel counts.
public struct DatapathCounters: Sendable, Equatable {
  /// By workload.
  public var workloads: [CgroupID: WorkloadCounts] = [:]
  /// What runs outside of every workload.
  public var host = WorkloadCounts()
  /// Who holds conversations, most first.
  public var conversations: [ConversationShare] = []
  /// The datapath itself.
  public var statistics = DatapathStatistics()

  /// All zero.
  public init() {}
}
