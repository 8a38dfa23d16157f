// The kernel's counters as Swift values.

internal import CDatapath
package import Kernel
package import Policy

/// What was judged for one workload, summed over all CPUs.
package struct WorkloadCounts: Sendable, Equatable {
  /// `[direction][decided by << 1 | refused]`, then observed and revoked: the layout of `struct sp_counts`.
  var numbers: [UInt64]

  /// How many numbers one direction has.
  static let perDirection = Int(SP_COUNTS)

  init() { numbers = Array(repeating: 0, count: 2 * Self.perDirection) }

  /// How many packets or calls were judged so, and then allowed or refused.
  package subscript(direction: Direction, decidedBy: FlowEvent.DecidedBy, refused refused: Bool) -> UInt64 {
    self[direction, UInt32(Rows.decidedBy(decidedBy).rawValue) << 1 + (refused ? 1 : 0)]
  }

  /// How often an observed rule or an observed workload would have changed the outcome.
  package func observed(_ direction: Direction) -> UInt64 {
    self[direction, SP_COUNT_OBSERVED]
  }

  /// How many conversations the kernel ended because policy no longer allows them.
  package func revoked(_ direction: Direction) -> UInt64 {
    self[direction, SP_COUNT_REVOKED]
  }

  /// How many conversations the kernel ended early, because the workload's share was used up.
  package func evicted(_ direction: Direction) -> UInt64 {
    self[direction, SP_COUNT_EVICTED]
  }

  /// How many records of the workload were lost, because the ring or its share of it was full.
  package var recordsLost: UInt64 {
    self[.outgoing, SP_COUNT_RECORDS_LOST]
  }

  private subscript(direction: Direction, index: UInt32) -> UInt64 {
    numbers[Int(Rows.direction(direction).rawValue) * Self.perDirection + Int(index)]
  }
}

/// Counters of the datapath itself, summed over all CPUs.
package struct DatapathStatistics: Sendable, Equatable {
  /// Records written to the ring.
  package var records: UInt64 = 0
  /// Records lost because the ring was full.
  package var recordsLost: UInt64 = 0
  /// Records left out because the same refusal was reported within the second before.
  package var recordsSuppressed: UInt64 = 0
  /// Conversations judged as new because no state could be kept.
  package var conversationsFull: UInt64 = 0
  /// Conversations that ended early, so that others find room.
  package var evicted: UInt64 = 0
  /// Senders that could not be told to the receiver.
  package var sendersFailed: UInt64 = 0
  /// Senders that two workloads claimed to be.
  package var sendersAmbiguous: UInt64 = 0
  /// Packets refused because a table was missing.
  package var tableMissing: UInt64 = 0

  /// All zero.
  package init() {}
}

/// How many conversations a workload holds that began one way.
package struct ConversationShare: Sendable, Equatable {
  /// The workload; nil = the host.
  package var workload: CgroupID?
  /// Who began them: outgoing = the workload.
  package var direction: Direction
  /// How many there are.
  package var held: Int

  package init(workload: CgroupID?, direction: Direction, held: Int) {
    self.workload = workload
    self.direction = direction
    self.held = held
  }

  /// How many there is room for on this host.
  package static let capacity = Int(SP_CONVS)
}

/// Everything that the kernel counts.
package struct DatapathCounters: Sendable, Equatable {
  /// By workload.
  package var workloads: [CgroupID: WorkloadCounts] = [:]
  /// What runs outside of every workload.
  package var host = WorkloadCounts()
  /// Who holds conversations, most first.
  package var conversations: [ConversationShare] = []
  /// The datapath itself.
  package var statistics = DatapathStatistics()

  /// All zero.
  package init() {}
}
