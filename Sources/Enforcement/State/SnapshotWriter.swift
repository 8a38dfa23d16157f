// Writes the file that readers show, after the kernel has what it says, and never in the way of the next change.

internal import Kernel
internal import Logging
internal import Synchronization
internal import SystemPackage

/// Writes the latest image there is, one file at a time: what was superseded while one was written is left out.
///
/// A failure is logged and changes nothing, because the kernel is the database; a crash before a write is what adoption
/// expects.
final class SnapshotWriter: Sendable {
  /// What the file is to be.
  enum Wanted: Sendable {
    case image(SnapshotImage)
    /// What it described is gone.
    case removed
  }

  private struct State {
    var wanted: Wanted?
    var task: Task<Void, Never>?
  }

  private let path: String
  private let logger: Logger
  private let state = Mutex(State())

  init(_ path: String, logger: Logger) {
    self.path = path
    self.logger = logger
  }

  /// Takes what is wanted now; whatever was wanted before and not begun is forgotten.
  func submit(_ wanted: Wanted) {
    state.withLock { state in
      state.wanted = wanted
      if state.task == nil { state.task = Task.detached(priority: .utility) { [self] in drain() } }
    }
  }

  /// Waits until the file is what was wanted when this was called, or later.
  func flush() async {
    while let task = state.withLock({ $0.task }) { await task.value }
  }

  private func drain() {
    while let wanted = next() {
      do throws(KernelError) {
        switch wanted {
        // Replaced as a whole: a reader sees the former one or this one.
        case .image(let image):
          try replaceFile(FilePath(path)) { (write) throws(KernelError) in try image.write(write) }
        case .removed: try removeFile(path)
        }
      } catch {
        logger.error("\(DatapathError("write snapshot", path, underlying: error))")
      }
    }
  }

  private func next() -> Wanted? {
    state.withLock { state in
      defer { state.wanted = nil }
      if state.wanted == nil { state.task = nil }
      return state.wanted
    }
  }
}
