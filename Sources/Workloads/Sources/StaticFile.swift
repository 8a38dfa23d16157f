// Labels from a file that the operator wrote: cgroup paths and nothing else.
internal import Glibc
internal import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage

/// A file of `CgroupLabels`, read again when it changes; while it is wrong, what it said before holds.
package final class StaticFile: LabelSource {
  /// What people know it by.
  package let name = "file"
  private let path: String
  private let state = Mutex(State())

  private struct State {
    var entries: [String: CgroupLabels] = [:]
    /// Every path that was ever named: what is no longer said must be taken back.
    var named: Set<String> = []
  }

  /// Says nothing until it was read, by `read()` or by `follow`; `path` should be absolute.
  package init(_ path: String) { self.path = path }

  /// Reads the file; one that is not there labels nothing.
  ///
  /// - Returns: whether what it says changed.
  /// - Throws: what is wrong, with lines and fields; what it said before stays in force.
  @discardableResult
  package func read() throws(SourceFault) -> Bool {
    var new: [String: CgroupLabels] = [:]
    do {
      let bytes = try readRegularFile(path, limit: PolicyParser.maximumFileSize)
      if let writable = TrustedFile.writable(path) {
        throw SourceFault(
          name, path, "others than root can write to \(writable): its labels are not trusted",
          remedy: "chown root \(writable) && chmod go-w \(writable)")
      }
      for entry in try CgroupLabels.parse(file: path, bytes: bytes) { new[entry.cgroup] = entry }
    } catch let error as KernelError {
      guard error.errno == .noSuchFileOrDirectory else { throw SourceFault(name, path, "\(error)") }
    } catch let fault as SourceFault {
      throw fault
    } catch {
      throw SourceFault(name, path, "\(error)", remedy: "what it said before stays in force", isPassing: false)
    }
    return state.withLock { state in
      defer { state.entries = new }
      state.named.formUnion(new.keys)
      return state.entries != new
    }
  }

  /// Whether the file names this very cgroup, or did so before.
  package func claims(_ place: CgroupPlace) -> Bool { state.withLock { $0.named.contains(place.path) } }

  /// What the file says about this very cgroup; what is below it inherits that.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let entry = state.withLock({ $0.entries[place.path] }) else {
      return claims(place) ? SourceLabels(.empty, makesWorkload: false) : nil
    }
    return SourceLabels(
      entry.labels, observe: entry.mode == .observe, rejectsUnlabelledChildren: entry.rejectsUnlabelledChildren)
  }

  /// Reads the file whenever it may have changed, until the task is cancelled.
  package func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async {
    while !Task.isCancelled {
      // Through its directory, because editors replace files by renaming.
      let directory = TrustedFile.nearest(FilePath(path).removingLastComponent().string)
      do throws(KernelError) {
        let watch = try FileWatch.start([FilePath(directory)], mask: Self.mask)
        readAndTell(changed, report)
        await withTaskCancellationHandler {
          for await batch in watch.events {
            // A file that was only just made is still being written; any other change may lead to another file by
            // way of links.
            let isFresh: (FileEvent) -> Bool = { $0.mask & (UInt32(IN_CREATE) | UInt32(IN_ISDIR)) == UInt32(IN_CREATE) }
            if !batch.allSatisfy(isFresh) { readAndTell(changed, report) }
            // A directory on the way came or went: it is another one that must be watched now.
            if batch.contains(where: { $0.mask & Self.moving != 0 })
              || TrustedFile.nearest(FilePath(path).removingLastComponent().string) != directory
            {
              return
            }
          }
        } onCancel: {
          watch.stop()
        }
        watch.stop()
      } catch {
        if error.errno == .noSuchFileOrDirectory { continue }
        return report(SourceFault(name, path, "\(error): changes are not seen", isPassing: false))
      }
    }
  }

  private func readAndTell(
    _ changed: @Sendable (SourceChange) -> Void, _ report: @Sendable (SourceFault?) -> Void
  ) {
    do throws(SourceFault) {
      if try read() { changed(.everything) }
      report(nil)
    } catch {
      report(error)
    }
  }

  private static let moving = UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF)
  /// Files that are written and closed, renamed, removed, or change their owner; not those that are being written.
  private static let mask =
    UInt32(IN_CLOSE_WRITE) | UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO)
    | UInt32(IN_ATTRIB) | moving
}
