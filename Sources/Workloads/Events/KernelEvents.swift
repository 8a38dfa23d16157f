// Cgroup and process events from the kernel's own tracepoints, through a ring buffer; nothing is polled.
package import BPF
internal import CDatapath
package import Kernel
internal import Synchronization
internal import SystemPackage

/// A running feed of what happens at and below one cgroup; it ends with `stop()` or with this object.
///
/// Its attachments are not pinned: they end with this process. What cannot be told in time is counted, and told as
/// `.unknown`: never in silence.
package final class KernelEvents: Sendable {
  /// What the programs counted since the start.
  package struct Counts: Sendable, Equatable {
    /// Records that were put into the ring.
    package var written: UInt64
    /// Records that the ring had no room for.
    package var lost: UInt64

    /// States counts.
    package init(written: UInt64, lost: UInt64) {
      self.written = written
      self.lost = lost
    }
  }

  /// An attachment in a list: links themselves cannot be elements of one.
  private final class Attachment: Sendable {
    let link: BPFLink
    init(_ link: consuming BPFLink) { self.link = link }
  }

  private struct Attachments {
    var cgroups: [Attachment] = []
    var processes: [Attachment] = []
    var isStopped = false
  }

  /// Programs by the tracepoint that they are attached to.
  private static let cgroupPoints = [
    ("cgroup_mkdir", "sp_on_mkdir"), ("cgroup_rmdir", "sp_on_rmdir"), ("cgroup_release", "sp_on_release"),
    ("cgroup_notify_populated", "sp_on_populated"),
    ("cgroup_attach_task", "sp_on_attach"), ("sched_process_fork", "sp_on_fork"),
  ]

  private static let processPoints = (exec: "sched_process_exec", exit: "sched_process_exit")

  private let exec: BPFProgram
  private let exit: BPFProgram
  private let reader: EventReader
  private let ring: RingBuffer
  private let attachments = Mutex(Attachments())

  private init(
    exec: consuming BPFProgram, exit: consuming BPFProgram, reader: EventReader, ring: RingBuffer
  ) {
    self.exec = exec
    self.exit = exit
    self.reader = reader
    self.ring = ring
  }

  /// Starts telling `handler` what happens at and below `root`.
  ///
  /// `handler` is first called with `.unknown` alone, before this returns, since what was there before is not told;
  /// then from a thread of its own, in the order of the kernel. While it runs nothing is read, and `ringBytes` (a power
  /// of two, at least a page) is what the ring holds meanwhile, 256 bytes an event. Executions and exits are told only
  /// when `processes` says so; moves and removals in hierarchies of version 1, anywhere on the host, when `tellsV1` does.
  ///
  /// - Throws: when the kernel lacks the tracepoints, BTF or ring buffers, when the capabilities CAP_BPF and
  ///   CAP_PERFMON are missing, or when this process is not in the initial pid namespace. Nothing is left attached then.
  package static func start(
    root: CgroupDirectory, processes: Bool = false, tellsV1: Bool = false, ringBytes: Int = 4 << 20,
    handler: @escaping @Sendable ([WorkloadEvent]) -> Void
  ) throws(BPFError) -> KernelEvents {
    guard ProcessID.areInitial else {
      throw BPFError(
        "follow", "kernel events", .notSupported, remedy: "run in the host's pid namespace: pids are told as there")
    }
    let open = try EmbeddedEvents.open()
    let config = EventRows.config(root.id, level: root.level, tellsV1: tellsV1)
    try open.setReadOnlyData(".rodata.config", config)
    try open.setMaxEntries(map: "sp_events", UInt32(clamping: ringBytes))
    let object = try open.load()
    let reader = EventReader(root: root, statistics: try object.perCPUMap(named: "sp_event_stats"), handler: handler)
    // No timeout: every record wakes a reader that has read all before it.
    let ring = try RingBuffer.start(
      map: object.mapDescriptor(named: "sp_events"), of: sp_event.self, timeout: -1, handler: reader.handle)
    let events = KernelEvents(
      exec: try object.program(named: "sp_on_exec"), exit: try object.program(named: "sp_on_exit"), reader: reader,
      ring: ring)
    try events.attachments.withLock { attachments throws(BPFError) in
      for (point, program) in cgroupPoints {
        let program = try object.program(named: program)
        attachments.cgroups.append(Attachment(try BPFLink.attach(program, rawTracepoint: point)))
      }
    }
    if processes { try events.follow(processes: true) } else { handler([.unknown]) }
    return events
  }

  deinit { stop() }

  /// Begins or ends telling executions and exits; `.unknown` is told when they begin, for those that came before.
  ///
  /// On failure nothing has changed. After `stop()` nothing happens.
  package func follow(processes: Bool) throws(BPFError) {
    let began = try attachments.withLock { attachments throws(BPFError) -> Bool in
      guard !attachments.isStopped, processes == attachments.processes.isEmpty else { return false }
      attachments.processes =
        processes
        ? [
          Attachment(try BPFLink.attach(exec, rawTracepoint: Self.processPoints.exec)),
          Attachment(try BPFLink.attach(exit, rawTracepoint: Self.processPoints.exit)),
        ] : []
      return processes
    }
    if began { reader.tellUnknown() }
  }

  /// What was told and what was lost so far.
  package func counts() throws(BPFError) -> Counts { try reader.counts() }

  /// Ends the feed and waits for its thread, which may call the handler a last time; the second call does nothing.
  package func stop() {
    attachments.withLock { $0 = Attachments(isStopped: true) }
    ring.stop()
  }
}
