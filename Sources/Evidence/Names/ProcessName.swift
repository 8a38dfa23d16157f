// The process of a flow: what the record says, and what only /proc can add while the process lives.

package import Enforcement
internal import JSON

/// A process as it is shown in flow records.
package final class ProcessName: Sendable {
  /// The process id.
  package let pid: UInt32
  /// The name of the task.
  package let command: CommandName
  /// The path of its executable, if it could be read while it was certainly the same process.
  package let executable: String?
  /// The user id.
  package let uid: UInt32
  /// The name of the user, if there is one.
  package let user: String?
  /// The whole object.
  let json: [UInt8]

  /// Takes what is known.
  package init(pid: UInt32, command: CommandName, executable: String?, uid: UInt32, user: String?) {
    self.pid = pid
    self.command = command
    self.executable = executable
    self.uid = uid
    self.user = user
    var json = JSONWriter(capacity: 128)
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

extension JSONWriter {
  /// Appends the name of a task as a quoted string.
  fileprivate mutating func string(_ name: CommandName) {
    var bytes = InlineArray<16, UInt8>(repeating: 0)
    var count = 0
    while count < 16 {
      let half = count < 8 ? name.first : name.second
      let byte = UInt8(truncatingIfNeeded: half >> UInt64(56 - count % 8 * 8))
      if byte == 0 { break }
      guard byte.isPlainInJSON else { return string(name.text) }
      bytes[count] = byte
      count += 1
    }
    raw(0x22)
    for index in 0..<count { raw(bytes[index]) }
    raw(0x22)
  }
}

/// Finds the process that a record names.
package protocol ProcessNaming: Sendable {
  /// The process `event.pid`, as it was at `event.time`; never a later process of the same number.
  mutating func process(of event: FlowEvent) -> ProcessName
}

/// Knows only what the record says; for replays and tests.
package struct RecordedProcesses: ProcessNaming {
  /// Makes one.
  package init() {}

  /// The process of the record, without executable and user name.
  package func process(of event: FlowEvent) -> ProcessName {
    ProcessName(pid: event.pid, command: event.command, executable: nil, uid: event.uid, user: nil)
  }
}
