// Waits for more flow records without asking again and again.

internal import Glibc
internal import Kernel
package import SystemPackage

extension FlowLogReader {
  /// Gives every whole line to `body`, now and whenever more are written, until the task is cancelled.
  ///
  /// Survives rotation. The folder is watched, not the file: a rename ends the file's own watch.
  package static func follow(
    _ path: FilePath, from start: Start, _ body: @Sendable (ArraySlice<UInt8>) throws -> Void
  ) async throws {
    // The watch comes first, so that nothing is written between reading and watching unseen.
    let watch = try FileWatch.start([path.removingLastComponent()], mask: UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO))
    defer { watch.stop() }
    var reader = try open(path, from: start)
    try reader.readAvailable(body)
    for await events in watch.events {
      if Task.isCancelled { return }
      // Nothing of ours among them: another file of the folder.
      guard events.contains(where: { $0.isOverflow || $0.name.map { isOurs($0, path) } ?? true }) else { continue }
      try reader.readAvailable(body)
    }
  }

  private static func isOurs(_ name: FilePath, _ path: FilePath) -> Bool {
    path.lastComponent.map { name.string.hasPrefix($0.string) } ?? true
  }
}
