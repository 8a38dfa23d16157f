// The process of a flow: what the record says, and what only /proc can add while the process lives.

public import Enforcement

/// A process as it is shown in flow records.
public final class ProcessName: Sendable {
  /// The process id.
  public let pid: UInt32
  /// The name of the task.
  public let command: CommandName
  /// The path of its executable, if it could be read while it was certainly the same process.
  public let executable: String?
  /// The user id.
  public let uid: UInt32
  /// The name of the user, if there is one.
  public let user: String?
  /// The whole object.
  let json: [UInt8]

  /// Takes what is known.
  public init(pid: UInt32, command: CommandName, executable: String?, uid: UInt32, user: String?) {
    self.pid = pid
    self.command = command
    self.executable = executable
    self.uid = uid
    self.user = user
    var json = JSONBytes(capacity: 128)
    json.raw("{\"pid\":")
    json.number(UInt64(pid))
    json.raw(",\"comm\":")
    json.string(command)
    if let executable {
      json.raw(",\"exe\":")
      json.string(executable)
    }
    json.raw(",\"uid\":")
    json.number(UInt64(uid))
    if let user {
      json.raw(",\"user\":")
      json.string(user)
    }
    json.raw("}")
    self.json = json.bytes
  }
}

/// Finds the process that a record names.
public protocol ProcessNaming: Sendable {
  /// The process `event.pid`, as it was at `event.time`; never a later process of the same number.
  mutating func process(of event: FlowEvent) -> ProcessName
}

/// Knows only what the record says; for replays and tests.
public struct RecordedProcesses: ProcessNaming {
  /// Makes one.
  public init() {}

  /// The process of the record, without executable and user name.
  public func process(of event: FlowEvent) -> ProcessName {
    ProcessName(pid: event.pid, command: event.command, executable: nil, uid: event.uid, user: nil)
  }
}
