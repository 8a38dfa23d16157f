// Looks processes up in /proc while they live, else in what was told of them; never takes a later one for an earlier.

package import Enforcement
internal import Kernel
internal import SystemPackage

/// Adds executable and user name to the processes of records.
///
/// A process is held by a pidfd as long as it is remembered: while that has not exited, its number cannot have come to
/// mean another process, so one cheap call tells whether what is remembered still holds. A process that is gone, or runs
/// another program by now, has the path that it gave to execve(2), if that was told.
package struct LiveProcesses: ProcessNaming {
  private final class Held: Sendable {
    let handle: ProcessHandle
    let name: ProcessName
    /// When the program was started, if that was told.
    let start: UInt64

    init(_ handle: consuming ProcessHandle, _ name: ProcessName, start: UInt64) {
      self.handle = handle
      self.name = name
      self.start = start
    }
  }

  private struct Key: Hashable {
    var pid: UInt32
    // Another name is another program after exec, or another thread.
    var command: CommandName
    var uid: UInt32
  }

  private var held: [Key: Held] = [:]
  private let accounts = AccountNames()
  /// Each costs a descriptor; 256 leave most of the usual limit of 1024 to others.
  private let limit: Int
  private let starts: ProgramStarts?

  /// Remembers at most `limit` processes; `starts` is what somebody else is told of processes that begin and end.
  package init(limit: Int = 256, starts: ProgramStarts? = nil) {
    self.limit = max(limit, 1)
    self.starts = starts
  }

  /// The process of a record, with its executable if that is certainly the same process.
  package mutating func process(of event: FlowEvent) -> ProcessName {
    let key = Key(pid: event.pid, command: event.command, uid: event.uid)
    let told = event.pid == 0 ? nil : starts?.program(of: event.pid, at: event.time)
    if let known = held[key], told.map({ $0.start == known.start }) ?? !known.handle.hasExited { return known.name }
    let user = accounts.user(event.uid)
    func name(_ executable: String?) -> ProcessName {
      ProcessName(pid: event.pid, command: event.command, executable: executable, uid: event.uid, user: user)
    }
    // /proc shows the process and the program of now.
    if let told, !told.isCurrent { return name(told.path) }
    guard event.pid != 0, let raw = Int32(exactly: event.pid), let found = look(raw, event) else {
      // Gone: what was remembered of it is still right, unless its number was given away, which `look` would have seen.
      if let known = held.removeValue(forKey: key), told == nil { return known.name }
      return name(told?.path)
    }
    let live = name(found.executable)
    if held.count >= limit { held.removeAll() }
    held[key] = Held(found.handle, live, start: told?.start ?? 0)
    return live
  }

  private struct Found: ~Copyable {
    let handle: ProcessHandle
    let executable: String?
  }

  /// The process that has the number now, if it had it already when the record was written.
  private func look(_ pid: Int32, _ event: FlowEvent) -> Found? {
    guard let handle = try? ProcessHandle.open(ProcessID(rawValue: pid)), let facts = try? handle.facts() else {
      return nil
    }
    // Start times count ticks of 10 ms (USER_HZ is 100 on every architecture that we build for) and time asleep.
    let asleep = Clock.bootNanoseconds() &- Clock.monotonicNanoseconds()
    let started = facts.startTime &* 10_000_000 &- asleep
    guard Int64(bitPattern: event.time &- started) >= 0 else { return nil }
    return Found(handle: handle, executable: facts.executable?.string)
  }
}
