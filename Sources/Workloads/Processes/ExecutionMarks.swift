// Which files the guard watches: patterns turned into inodes, again whenever files come and go.
internal import Glibc
internal import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage

/// The marks of one guard.
final class ExecutionMarks: Sendable {
  private let state: Mutex<State>
  /// Apart from the state, which is held while the file system is looked at: whoever holds an exec must not wait for that.
  private let patterns = Mutex<[Glob]>([])

  private struct State {
    /// Nil once the guard has ended.
    var permissions: ExecutionPermissions?
    var expansion = PatternExpansion()
  }

  /// How many files are marked at most; patterns that need more are said to be uncovered.
  static let capacity = 4096

  init(permissions: ExecutionPermissions) { state = Mutex(State(permissions: permissions)) }

  /// Lets go of the group.
  func end() { state.withLock { $0.permissions = nil } }

  var uncovered: [String] { state.withLock { $0.expansion.problems.sorted() } }
  var executables: [String] { state.withLock { $0.expansion.files.sorted() } }

  func matches(_ path: String) -> Bool {
    patterns.withLock { $0.contains { $0.matches(path) } }
  }

  /// Marks exactly what these patterns name.
  func set(_ patterns: [Glob]) throws(KernelError) {
    self.patterns.withLock { $0 = patterns }
    try refresh()
  }

  /// Marks what came, forgets what went.
  ///
  /// - Throws: when marking is not possible at all; a file that went meanwhile is no failure.
  private func refresh() throws(KernelError) {
    // In one piece: two that mix could leave a file without its mark.
    let result = state.withLock { state -> Result<Void, KernelError> in
      guard let permissions = state.permissions else { return .success(()) }
      let new = PatternExpansion(patterns.withLock { $0 }, limit: Self.capacity)
      defer { state.expansion = new }
      return Result { () throws(KernelError) in
        for path in state.expansion.files.subtracting(new.files) { try? permissions.unmark(path) }
        for path in new.files {
          do throws(KernelError) { try permissions.mark(path) } catch {
            guard error.errno == .noSuchFileOrDirectory || error.errno == .permissionDenied else { throw error }
          }
        }
      }
    }
    try result.get()
  }

  /// Follows the directories that patterns were looked up in.
  func follow(_ report: @Sendable (KernelError?) -> Void) async {
    while !Task.isCancelled {
      let directories = state.withLock { $0.expansion.directories.sorted() }
      do throws(KernelError) {
        let watch = try FileWatch.start(directories.map { FilePath($0) }, mask: Self.mask)
        // Between the last look and this watch anything may have come.
        try refresh()
        report(nil)
        if state.withLock({ $0.expansion.directories.sorted() }) == directories {
          await refreshOnChange(watch, directories, report)
        }
        watch.stop()
      } catch {
        if error.errno == .noSuchFileOrDirectory, (try? refresh()) != nil { continue }
        return report(error)
      }
    }
  }

  private func refreshOnChange(
    _ watch: FileWatch, _ directories: [String], _ report: @Sendable (KernelError?) -> Void
  ) async {
    await withTaskCancellationHandler {
      for await _ in watch.events {
        do throws(KernelError) { try refresh() } catch { report(error) }
        if state.withLock({ $0.expansion.directories.sorted() }) != directories { return }
      }
    } onCancel: {
      watch.stop()
    }
  }

  /// Names come and go; what is written into a file does not change which file it is.
  private static let mask =
    UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO) | UInt32(IN_DELETE_SELF)
    | UInt32(IN_MOVE_SELF)
}

/// Patterns over paths, looked up in the file system.
struct PatternExpansion {
  /// The regular files that match, by their own names.
  private(set) var files: Set<String> = []
  /// The directories whose entries decide about that.
  private(set) var directories: Set<String> = []
  /// Patterns that could not be looked up, with the reason.
  private(set) var problems: Set<String> = []
  private var budget = 0

  init() {}

  /// Looks patterns up; stops at `limit` files, or as many directories.
  init(_ patterns: [Glob], limit: Int) {
    budget = limit
    for pattern in patterns {
      let components = pattern.pattern.split(separator: "/").map(String.init)
      guard pattern.pattern.hasPrefix("/"), !pattern.pattern.contains("**") else {
        problems.insert("\(pattern): `**` may be anywhere: processes are placed after they began")
        continue
      }
      look(for: components[...], in: "", pattern)
    }
  }

  private mutating func look(for components: ArraySlice<String>, in directory: String, _ pattern: Glob) {
    guard let component = components.first else { return }
    guard files.count < budget, directories.count < budget else {
      problems.insert("\(pattern): names more than \(budget) files: processes of the rest are placed after they began")
      return
    }
    let isLast = components.count == 1
    // A directory that is not there yet: its parent says when it comes.
    directories.insert(directory.isEmpty ? "/" : directory)
    let names: [String]
    if component.contains(where: { $0 == "*" || $0 == "?" }) {
      let glob = Glob(component)
      names = ((try? directoryNames(directory.isEmpty ? "/" : directory)) ?? []).filter { glob.matches($0) }
    } else {
      names = [component]
    }
    for name in names {
      let path = "\(directory)/\(name)"
      guard let file = FileIdentity.at(path) else { continue }
      if isLast, file.isRegular {
        guard files.count < budget else { continue }
        if let target = FileIdentity.resolved(path)?.description, target != path {
          problems.insert("\(path): leads to \(target), which is what processes run: name that path")
        } else {
          files.insert(path)
        }
      } else if !isLast, file.isDirectory {
        look(for: components.dropFirst(), in: path, pattern)
      }
    }
  }
}
