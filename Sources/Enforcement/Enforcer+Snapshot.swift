// The enforcer's state as readers see it.

internal import Kernel
internal import Policy

extension Enforcer {
  /// The state in force; once this returns it, readers find it (or a later one) in the state directory.
  package var snapshot: Snapshot {
    get async {
      await flushSnapshot()
      return Snapshot(image)
    }
  }

  /// The state in force, whether or not readers find it in the state directory yet.
  package var currentState: Snapshot { Snapshot(image) }

  /// The generation in force.
  package var generation: UInt32 { shadow.generation }

  /// Waits until readers find every change that was made before this call.
  ///
  /// For whoever answers that a change was made, and before the process ends.
  package func flushSnapshot() async {
    readAllNames()
    await writer?.flush()
  }

  /// Has the state written for readers, soon.
  func offerSnapshot() {
    // Without the names that are not read yet, they would be lost with the next agent.
    guard let writer, unread == nil || isDetached else { return }
    writer.submit(isDetached ? .removed : .image(image))
  }

  private var image: SnapshotImage {
    var image = SnapshotImage(members: roster.members, names: allocator.names)
    image.summary.pid = ProcessID.current.rawValue
    image.summary.cgroup = cgroup
    image.summary.pins = datapath.pins
    image.summary.generation = shadow.generation
    image.summary.attached = isAttached
    if let tables = compiled?.tables {
      image.rules = tables.rules
      image.externals = tables.externals
      image.summary.cells = tables.cells.count
    }
    image.summary.sources = sources
    image.summary.cellLimit = datapath.limits.cells
    image.summary.failures = failures
    image.summary.lastError = lastError
    image.summary.warnings = warnings
    return image
  }
}
