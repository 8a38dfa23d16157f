// What happens to cgroups and processes, as it is told by the kernel.
package import Kernel

/// One thing that happened in the watched subtree.
package enum WorkloadEvent: Sendable, Equatable {
  /// A cgroup was made.
  case made(CgroupID)
  /// The last process in a cgroup and everything below it ended or went elsewhere.
  case emptied(CgroupID)
  /// A cgroup was removed.
  case removed(CgroupID)
  /// Nothing refers to a removed cgroup any more, not even a socket that it made.
  case released(CgroupID)
  /// A process (or one of its threads) was moved into a cgroup.
  case entered(CgroupID, ProcessID)
  /// A process began to run another program.
  case executed(ProcessStart)
  /// The last thread of a process ended.
  case exited(CgroupID, ProcessEnd)
  /// A process (or one of its threads) was moved into a cgroup of version 1, of any hierarchy.
  case enteredV1(ProcessID)
  /// A cgroup of version 1 was removed from its hierarchy; the path is nil if it has 192 bytes or more.
  case removedV1(String?)
  /// Something happened that could not be told, or cannot be told apart: look at everything again.
  case unknown
}

/// A process that began to run a program.
package struct ProcessStart: Sendable, Equatable {
  /// The process.
  package var process: ProcessID
  /// The cgroup it was in at that moment.
  package var cgroup: CgroupID
  /// When, in nanoseconds of the monotonic clock.
  package var time: UInt64
  /// The path as it was given to execve(2), if it was absolute and fitted: what the caller said, not what was resolved.
  ///
  /// For a script it is that of its interpreter. What is not UTF-8 in it is repaired.
  package var path: String?

  package init(process: ProcessID, cgroup: CgroupID, time: UInt64, path: String?) {
    self.process = process
    self.cgroup = cgroup
    self.time = time
    self.path = path
  }
}

/// A process that ended.
package struct ProcessEnd: Sendable, Equatable {
  /// The process; its number may be given away as soon as its parent has heard of its end.
  package var process: ProcessID
  /// When, in nanoseconds of the monotonic clock.
  package var time: UInt64

  package init(process: ProcessID, time: UInt64) {
    self.process = process
    self.time = time
  }
}
