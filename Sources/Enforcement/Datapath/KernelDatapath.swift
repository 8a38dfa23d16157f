// What both datapaths in the kernel share: pinned maps and programs, the lock, the ring of records.

internal import BPF
internal import CDatapath
package import Kernel
package import Policy
internal import Synchronization

/// A datapath whose programs and tables are in the kernel, and stay there when the agent is gone.
package protocol KernelDatapath: Datapath {
  /// What it holds in the kernel.
  var kernel: KernelState { get }
  /// Says which network namespaces policed processes live in, beside those said before.
  ///
  /// Programs on a cgroup follow its processes anywhere; rules must be written in each namespace. If it is attached, they
  /// are there when this returns.
  func police(_ namespaces: [NetworkNamespace]) throws(DatapathError)
  /// The same for the namespaces of all processes below a cgroup, and no others; returns where it could not be done.
  func policeProcesses(below root: CgroupDirectory) -> [DatapathError]
  /// Looks whether everything is attached and pinned, and repairs what is not; cheap when nothing is wrong.
  func mendPins() -> PinCondition
  /// Attaches and detaches where nobody lives; an error tells why it would not work.
  func tryToAttach() throws(DatapathError)
  /// Attaches what is not attached; on failure what this call attached is taken back.
  func attachHooks() throws(DatapathError)
  /// Ends what `attachHooks()` made and what the pins do not keep.
  func detachHooks() throws(DatapathError)
  /// Which sockets speak for another workload than their creator's; nil where the programs cannot tell.
  func retags() throws(DatapathError) -> RetagTable?
  /// Takes cgroups that were removed out of what names them.
  func leaveEnded() throws(DatapathError)

  /// Calls `changed`, on a thread of its own, whenever rules that others can change may have been changed.
  func watchRules(_ changed: @escaping @Sendable () -> Void) throws(DatapathError)
  /// Ends the calls; none is under way when it returns.
  func endRuleWatch()
  /// How often to look at rules whose changes nothing announces; nil = there are none.
  var ruleInterval: Duration? { get }
  /// Has `repairRules()` look where nothing announces changes; to be called every `ruleInterval`.
  func suspectTheSilent()
  /// Writes again what others have taken out or moved.
  func repairRules() -> RuleRepair

  /// Notes what connection tracking knows of flows, before a `Revoker` is asked.
  func rememberTracked(in namespaces: [NetworkNamespace], flows: LiveFlows)
  /// Ends the tracked connections that lose by `rules`, and those of sockets that lost already.
  func endTracked(
    by rules: RevocationRules, after revoked: [RevokedFlow], in namespaces: [NetworkNamespace]
  ) -> TrackedRevocation
}

/// What became of rules that others changed.
package struct RuleRepair: Sendable {
  /// What was done, in words.
  package var done: [String] = []
  /// Where it could not be done.
  package var failures: [DatapathError] = []

  package init() {}
}

/// Programs on a cgroup see its sockets in every namespace, nothing but their pins can be changed, and connection tracking
/// decides nothing: a datapath says only what it does otherwise.
extension KernelDatapath {
  package func police(_ namespaces: [NetworkNamespace]) throws(DatapathError) {}
  package func policeProcesses(below root: CgroupDirectory) -> [DatapathError] { [] }
  package func leaveEnded() throws(DatapathError) {}
  package func watchRules(_ changed: @escaping @Sendable () -> Void) throws(DatapathError) {}
  package func endRuleWatch() {}
  package var ruleInterval: Duration? { nil }
  package func suspectTheSilent() {}
  package func repairRules() -> RuleRepair { RuleRepair() }
  package func rememberTracked(in namespaces: [NetworkNamespace], flows: LiveFlows) {}
  package func endTracked(
    by rules: RevocationRules, after revoked: [RevokedFlow], in namespaces: [NetworkNamespace]
  ) -> TrackedRevocation { TrackedRevocation() }
}

/// The maps and programs of one instance, pinned and open.
package final class KernelState: Sendable {
  /// How packets come to the programs.
  package let kind: DatapathKind
  /// What it held when it was opened.
  package let holdings: Holdings
  /// What was done on opening that people may want to know.
  package let notes: [String]
  let tables: KernelTables
  /// What numbers stand for.
  let names: NameTable
  let pinned: PinnedState
  /// What other programs left, of the other kind or another version, that still enforces.
  private let formers: [PinnedState]
  /// All of it, by descriptors.
  let held: HeldPins
  private let lock: StateLock
  private let ring = Mutex<RingBuffer?>(nil)
  /// Sees every batch of records before whoever reads them.
  let observer = RecordObserver()

  init(_ loader: ProgramLoader, isNew: Bool, lock: StateLock) throws(DatapathError) {
    pinned = loader.pins
    kind = loader.pins.kind
    notes = loader.notes
    formers = [pinned.former, pinned.ofOtherKind, pinned.ofOtherKind.former].filter(\.exists)
    held = HeldPins(pinned)
    self.lock = lock
    do throws(BPFError) {
      tables = try KernelTables(pinned)
      names = try NameTable(pinned)
      // Found again by its program when its pin is gone; a kernel that cannot do that still has the pin.
      if let name = pinned.object.programs.first, let program = try? BPFProgram.pinned(pinned.program(name)) {
        _ = names.withDescriptor { try? program.bind(map: $0) }
      }
      holdings = try tables.holdings(isNew: isNew)
    } catch {
      throw DatapathError("open tables", loader.pins.published, underlying: error, remedy: error.remedy)
    }
  }

  /// Whether something else enforces until this does.
  var isReplacing: Bool { holdings.isNew && formers.contains { $0.exists } }

  /// What the programs that are being replaced enforce, as far as their tables can be read.
  func formerWorkloads() -> [CgroupID: LabelSet] {
    var found: [CgroupID: LabelSet] = [:]
    for former in formers where former.exists && isThere(former.map(NameTable.pin)) {
      guard let names = try? NameTable(former).read(),
        let rows = try? BPFMap<UInt64, sp_workload>.pinned(former.map("sp_workload")).entries()
      else { continue }
      for (cgroup, row) in rows { found[CgroupID(rawValue: cgroup)] = names[Rows.workload(row).identity] }
    }
    return found
  }

  /// Ends what the other kind enforced: this one does now.
  func endFormer() throws(DatapathError) {
    for former in formers where former.exists {
      // The rules of the same kind were written anew, and have the same names.
      if former.kind == kind { try former.removeAll() } else { try former.end() }
    }
  }

  /// Ends enforcement without an agent: detaches and removes everything that is pinned, of both kinds; false if there was
  /// nothing.
  @discardableResult
  package static func remove(bpffs: String = "/sys/fs/bpf", state: StateDirectory) throws(DatapathError) -> Bool {
    let lock = try state.acquire()
    defer { _ = consume lock }
    var found = false
    for kind in DatapathKind.allCases {
      let pins = PinnedState(bpffs: bpffs, state: state, kind: kind)
      for pins in [pins, pins.former] {
        if pins.exists { found = true }
        try pins.end()
      }
    }
    return found
  }

  func startEvents(_ deliver: @escaping @Sendable ([FlowEvent]) -> Void) throws(DatapathError) {
    stopEvents()
    do throws(BPFError) {
      let map = try OwnedDescriptor.pinned(pinned.map("sp_records"), "map")
      let started = try RingBuffer.start(map: map, of: sp_record.self) { [observer] records in
        let events = FlowEvent.events(from: records).events
        observer.observe(events)
        deliver(events)
      }
      ring.withLock { $0 = started }
    } catch {
      throw failure("read records", error)
    }
  }

  func stopEvents() {
    ring.withLock { $0.take() }?.stop()
  }

  var malformedRecords: UInt64 { ring.withLock { $0?.counts.malformed ?? 0 } }

  func failure(_ operation: String, _ error: BPFError) -> DatapathError {
    DatapathError(operation, pinned.published, underlying: error, remedy: error.remedy)
  }
}

/// A datapath's own interest in the records, on the ring's thread.
final class RecordObserver: Sendable {
  private let body = Mutex<(@Sendable ([FlowEvent]) -> Void)?>(nil)

  /// Calls `body` from now on; nil ends it.
  func set(_ body: (@Sendable ([FlowEvent]) -> Void)?) { self.body.withLock { $0 = body } }

  fileprivate func observe(_ events: [FlowEvent]) { body.withLock { $0 }?(events) }
}

extension KernelDatapath {
  /// How packets come to the programs.
  package var kind: DatapathKind { kernel.kind }
  /// What it held when it was opened.
  package var holdings: Holdings { kernel.holdings }
  /// What was done on opening that people may want to know.
  package var notes: [String] { kernel.notes }
  /// How much fits.
  package var limits: DatapathLimits { kernel.tables.limits }
  /// The directory of its pins.
  package var pins: String { kernel.pinned.published }

  /// Reads a slot back.
  package func contents(of slot: Slot) throws(DatapathError) -> SlotContents {
    do throws(BPFError) { return try kernel.tables.contents(of: slot) } catch {
      throw kernel.failure("read tables", error)
    }
  }

  /// Reads back what is the same for both slots.
  package func current() throws(DatapathError) -> Holdings {
    do throws(BPFError) { return try kernel.tables.holdings(isNew: false) } catch {
      throw kernel.failure("read tables", error)
    }
  }

  /// Makes one step.
  package func apply(_ change: TableChange) throws(DatapathError) {
    do throws(BPFError) { try kernel.tables.apply(change) } catch { throw kernel.tables.failure(change, error) }
  }

  /// What was counted since it was attached.
  package func counters() throws(DatapathError) -> DatapathCounters {
    do throws(BPFError) { return try kernel.tables.counters() } catch { throw kernel.failure("read counters", error) }
  }

  /// Remembers what numbers stand for.
  package func name(
    _ numbers: [(number: IdentityNumber, labels: LabelSet)], isUsed: (IdentityNumber) -> Bool
  ) throws(DatapathError) {
    do throws(BPFError) { try kernel.names.write(numbers, isUsed: isUsed) } catch {
      throw kernel.failure("write names", error)
    }
  }

  /// What numbers stand for.
  package func names() throws(DatapathError) -> [IdentityNumber: LabelSet] {
    do throws(BPFError) { return try kernel.names.read() } catch { throw kernel.failure("read names", error) }
  }

  /// Remembers from which documents a slot is compiled.
  package func mark(_ slot: Slot, _ documents: UInt64) throws(DatapathError) {
    do throws(BPFError) { try kernel.names.mark(slot, documents) } catch { throw kernel.failure("write names", error) }
  }

  /// The mark of a slot.
  package func mark(of slot: Slot) throws(DatapathError) -> UInt64? {
    do throws(BPFError) { return try kernel.names.mark(of: slot) } catch { throw kernel.failure("read names", error) }
  }

  /// Whether other programs enforce until these do.
  package var isReplacing: Bool { kernel.isReplacing }

  /// Begins to enforce; then what the other kind of datapath enforced until now ends.
  package func attach() throws(DatapathError) {
    try attachHooks()
    try kernel.held.hold()
    try kernel.endFormer()
  }

  /// Ends enforcement and leaves nothing behind.
  package func detach() throws(DatapathError) {
    stopEvents()
    kernel.held.release()
    try detachHooks()
    try kernel.pinned.removeAll()
  }

  /// Begins to deliver records, in batches, from a thread of its own.
  ///
  /// Records that cannot be read are left out and counted by `malformedRecords`.
  package func startEvents(_ deliver: @escaping @Sendable ([FlowEvent]) -> Void) throws(DatapathError) {
    try kernel.startEvents(deliver)
  }

  /// Ends the delivery; no call is under way when it returns.
  package func stopEvents() { kernel.stopEvents() }

  /// How many records had another size than this program knows.
  package var malformedRecords: UInt64 { kernel.malformedRecords }
}
