// What events tell about programs, for records of processes that are gone before they are read.
internal import Evidence
internal import Kernel
internal import Workloads

extension ProgramStarts {
  /// Remembers starts and ends.
  func note(_ events: [WorkloadEvent]) {
    for event in events {
      switch event {
      case .executed(let start):
        note(pid: UInt32(bitPattern: start.process.rawValue), time: start.time, path: start.path)
      case .exited(_, let end): noteEnd(pid: UInt32(bitPattern: end.process.rawValue), time: end.time)
      case .unknown: forgetAll()
      case .made, .emptied, .removed, .released, .entered, .enteredV1, .removedV1: break
      }
    }
  }
}
