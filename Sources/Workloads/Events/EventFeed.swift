internal import BPF
// How the agent hears what happens to workloads: from the kernel's tracepoints, or else from inotify.
package import Kernel
package import Logging

/// A running feed of events; it ends with `stop()` or with this object.
package final class EventFeed: Sendable, CustomStringConvertible {
  private enum Origin: Sendable {
    case kernel(KernelEvents)
    case inotify(InotifyEvents, reason: String)
  }

  private let origin: Origin

  private init(_ origin: Origin) { self.origin = origin }

  /// Starts telling `handler` what happens at and below `root`.
  ///
  /// The first thing told, before this returns, is `.unknown`: what was there before must be looked at. After that
  /// `handler` is called from a thread of the feed: it must be quick, since nothing is read meanwhile. `tellsV1` asks for
  /// what happens in hierarchies of version 1 as well; inotify does not tell it.
  ///
  /// - Throws: when neither the tracepoints nor inotify can be had.
  package static func start(
    root: CgroupDirectory, preferInotify: Bool = false, tellsV1: Bool = false, logger: Logger,
    handler: @escaping @Sendable ([WorkloadEvent]) -> Void
  ) throws(KernelError) -> EventFeed {
    let reason: String
    if preferInotify {
      reason = "asked for"
    } else {
      do {
        return EventFeed(.kernel(try KernelEvents.start(root: root, tellsV1: tellsV1, handler: handler)))
      } catch {
        reason = error.description
        logger.warning("no kernel tracepoints, watching cgroups with inotify: \(reason)")
      }
    }
    let events = try InotifyEvents.start(
      root: root, failed: { logger.error("\($0); looking at all cgroups every second would find what is missed") },
      handler: handler)
    return EventFeed(.inotify(events, reason: reason))
  }

  /// What tells the events, and why it is not something better; one line.
  package var description: String {
    switch origin {
    case .kernel: "kernel tracepoints"
    case .inotify(let events, let reason):
      "inotify: \(reason)" + (events.isComplete ? "" : "; not every cgroup is watched")
    }
  }

  /// Whether executions and exits can be told; otherwise only looking at processes again and again finds them.
  package var tellsProcesses: Bool {
    if case .kernel = origin { true } else { false }
  }

  /// Whether every cgroup is watched; otherwise only looking at all of them again and again finds all that is new.
  package var isComplete: Bool {
    if case .inotify(let events, _) = origin { events.isComplete } else { true }
  }

  /// Begins or ends telling executions and exits, if they can be told; `.unknown` is told when they begin.
  ///
  /// - Throws: when the kernel refuses; nothing has changed then.
  package func follow(processes: Bool) throws(KernelError) {
    guard case .kernel(let events) = origin else { return }
    do throws(BPFError) {
      try events.follow(processes: processes)
    } catch {
      throw KernelError(error.operation, error.subject, error.errno, remedy: error.remedy)
    }
  }

  /// How many events were written and how many were lost; nil where nobody counts.
  package var counts: KernelEvents.Counts? {
    if case .kernel(let events) = origin { try? events.counts() } else { nil }
  }

  /// Ends the feed and waits for its thread; the second call does nothing.
  package func stop() {
    switch origin {
    case .kernel(let events): events.stop()
    case .inotify(let events, _): events.stop()
    }
  }
}
