// The worker as the run sees it: started in its cgroup and namespace, asked line by line.

internal import Glibc
internal import Kernel
internal import SystemPackage

/// A running worker; it ends when this object goes, because its orders end.
final class WorkerProcess {
  private let process: ChildProcess
  private let orders: OwnedDescriptor
  private let answers: OwnedDescriptor
  private var pending: [UInt8] = []

  /// Starts it; `cpu` is where it stays.
  init(in cgroup: CgroupDirectory, namespace: NetworkNamespace, cpu: Int) throws {
    let orders = try Pipe.make()
    let answers = try Pipe.make()
    // Pinned by taskset, because sched_setaffinity(2) is not shown to Swift.
    process = try ChildProcess.start(
      "/usr/bin/taskset", ["-c", "\(cpu)", "/proc/\(getpid())/exe", "worker"], cgroup: cgroup, namespace: namespace,
      input: orders.reading.raw, output: answers.writing.raw)
    self.orders = orders.writing
    self.answers = answers.reading
  }

  /// Moves it; the sockets that it has stay where they were made.
  func move(to cgroup: CgroupDirectory) throws { try process.handle.move(to: cgroup) }

  /// Gives an order and waits for the answer's words.
  func ask(_ order: String) throws -> [String] {
    try self.order(order)
    return try answer(order)
  }

  /// Gives an order; the answer must be taken before the next one.
  func order(_ order: String) throws {
    let bytes = Array((order + "\n").utf8)
    let rc = unsafe bytes.withUnsafeBytes { unsafe write(orders.raw, $0.baseAddress, $0.count) }
    try check(rc < 0 ? -errno : 0, "ask", "worker")
  }

  /// Waits for the words that answer an order.
  func answer(_ order: String) throws -> [String] {
    while true {
      if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: pending[..<end], as: UTF8.self)
        pending.removeSubrange(...end)
        guard !line.hasPrefix("error ") else { throw WorkerError(order: order, text: String(line.dropFirst(6))) }
        return line.split(separator: " ").map(String.init)
      }
      try readMore(order)
    }
  }

  private func readMore(_ order: String) throws {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(answers.raw, $0.baseAddress, $0.count) }
    guard count > 0 else { throw WorkerError(order: order, text: "it ended") }
    pending += buffer[..<count]
  }
}

/// Both ends of a pipe.
struct Pipe: ~Copyable {
  let reading: OwnedDescriptor
  let writing: OwnedDescriptor

  /// A new one; neither end is inherited.
  static func make() throws(KernelError) -> Pipe {
    var ends: (Int32, Int32) = (-1, -1)
    let rc = unsafe withUnsafeMutableBytes(of: &ends) {
      unsafe Glibc.pipe($0.baseAddress?.assumingMemoryBound(to: Int32.self))
    }
    try check(rc < 0 ? -errno : 0, "make", "pipe")
    for end in [ends.0, ends.1] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return Pipe(reading: OwnedDescriptor(adopting: ends.0), writing: OwnedDescriptor(adopting: ends.1))
  }

  /// Closes this process's end for writing: the other one's last is the end of what can be read.
  consuming func onlyReading() -> OwnedDescriptor { reading }
}

/// The worker could not do what it was asked.
struct WorkerError: Error, CustomStringConvertible {
  let order: String
  let text: String
  var description: String { "worker asked to \(order): \(text)" }
}

extension OwnedDescriptor {
  /// Everything up to the end, as text.
  borrowing func readAll() throws(KernelError) -> String {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(raw, $0.baseAddress, $0.count) }
      let error = errno
      if count < 0, error == EINTR { continue }
      try check(count < 0 ? -error : 0, "read", "output of a program")
      guard count > 0 else { return String(decoding: all, as: UTF8.self) }
      all += buffer[..<count]
    }
  }
}
