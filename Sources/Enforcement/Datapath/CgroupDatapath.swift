// The main datapath: BPF programs on a cgroup, their maps and links pinned.

internal import BPF
internal import CDatapath
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// BPF programs attached to one cgroup directory.
///
/// Tests must never pass the hierarchy's root: they would police the machine they run on.
public final class CgroupDatapath: Datapath {
  /// What it is made with.
  public struct Options: Sendable, Equatable {
    /// The cgroup2 directory to attach to: an absolute path in a file system.
    public var cgroup: String
    /// Where BPF objects are pinned: a directory on a BPF file system.
    public var bpffs: String
    /// Room for cells, both slots together.
    public var maxEntries: UInt32
    /// After how much silence a UDP or other conversation is over.
    public var conversationIdle: Duration
    /// The same for ICMP.
    public var echoIdle: Duration

    /// Takes what has no usual value, and the usual values.
    public init(
      cgroup: String, bpffs: String = "/sys/fs/bpf", maxEntries: UInt32 = 262_144,
      conversationIdle: Duration = .seconds(60), echoIdle: Duration = .seconds(30)
    ) {
      self.cgroup = cgroup
      self.bpffs = bpffs
      self.maxEntries = maxEntries
      self.conversationIdle = conversationIdle
      self.echoIdle = echoIdle
    }
  }

  /// What it held when it was opened.
  public let holdings: Holdings
  /// What was done on opening that people may want to know.
  public let notes: [String]
  let tables: KernelTables
  let pinned: PinnedState
  private let cgroup: CgroupDirectory
  private let lock: StateLock
  private let ring = Mutex<RingBuffer?>(nil)

  init(
    tables: KernelTables, holdings: Holdings, pinned: PinnedState, cgroup: CgroupDirectory, lock: StateLock,
    notes: [String]
  ) {
    self.tables = tables
    self.holdings = holdings
    self.pinned = pinned
    self.cgroup = cgroup
    self.lock = lock
    self.notes = notes
  }

  /// How much fits.
  public var limits: DatapathLimits { tables.limits }
  /// The directory of its pins.
  public var pins: String { pinned.published }

  /// Reads a slot back.
  public func contents(of slot: Slot) throws(DatapathError) -> SlotContents {
    do throws(BPFError) { return try tables.contents(of: slot) } catch { throw failure("read tables", error) }
  }

  /// Reads back what is the same for both slots.
  public func current() throws(DatapathError) -> Holdings {
    do throws(BPFError) { return try tables.holdings(isNew: false) } catch { throw failure("read tables", error) }
  }

  /// Makes one step.
  public func apply(_ change: TableChange) throws(DatapathError) {
    do throws(BPFError) { try tables.apply(change) } catch { throw tables.failure(change, error) }
  }

  /// What was counted since it was attached.
  public func counters() throws(DatapathError) -> DatapathCounters {
    do throws(BPFError) { return try tables.counters() } catch { throw failure("read counters", error) }
  }

  /// Begins to enforce.
  public func attach() throws(DatapathError) {
    var made: [String] = []
    do throws(BPFError) {
      for hook in Hook.all where !pinned.hasLink(hook.program) {
        let program = try BPFProgram.pinned(pinned.program(hook.program))
        let link = try BPFLink.attach(program, cgroup: cgroup.descriptor, type: hook.type)
        _ = try link.pin(at: pinned.link(hook.program))
        made.append(hook.program)
      }
    } catch {
      for name in made.reversed() {
        // Best effort: the first error is the one to tell, and detach ends what may be left.
        try? PinnedLink.open(pinned.link(name)).detach()
        try? removePin(at: pinned.link(name))
      }
      throw DatapathError("attach", pinned.published, underlying: error, remedy: remedy(attaching: error))
    }
  }

  /// Why a program cannot be attached: capabilities were checked when the datapath was opened, so it is other programs.
  private func remedy(attaching error: BPFError) -> String? {
    switch error.errno {
    case .argListTooLong:
      "the kernel takes 64 programs of a kind on one cgroup: see `bpftool cgroup show`, detach some of the others"
    case .notPermitted:
      "a program on or above \(cgroup.path) that was attached without BPF_F_ALLOW_MULTI excludes all others: see "
        + "`bpftool cgroup tree`, detach it"
    default: error.remedy
    }
  }

  /// Ends enforcement and leaves nothing behind.
  public func detach() throws(DatapathError) {
    stopEvents()
    try pinned.removeAll()
  }

  /// Which sockets speak for another workload than their creator's.
  public func retags() throws(DatapathError) -> RetagTable {
    do throws(BPFError) { return try RetagTable(pinned) } catch { throw failure("open retagged sockets", error) }
  }

  /// Begins to deliver records, in batches, from a thread of its own.
  ///
  /// Records that cannot be read are left out and counted by `malformedRecords`.
  public func startEvents(_ deliver: @escaping @Sendable ([FlowEvent]) -> Void) throws(DatapathError) {
    stopEvents()
    do throws(BPFError) {
      let map = try OwnedDescriptor.pinned(pinned.map("sp_records"), "map")
      let started = try RingBuffer.start(map: map, of: sp_record.self) { records in
        deliver(FlowEvent.events(from: records).events)
      }
      ring.withLock { $0 = started }
    } catch {
      throw failure("read records", error)
    }
  }

  /// Ends the delivery; no call is under way when it returns.
  public func stopEvents() {
    ring.withLock { $0.take() }?.stop()
  }

  /// How many records had another size than this program knows.
  public var malformedRecords: UInt64 { ring.withLock { $0?.counts.malformed ?? 0 } }

  private func failure(_ operation: String, _ error: BPFError) -> DatapathError {
    DatapathError(operation, pinned.published, underlying: error, remedy: error.remedy)
  }
}
