// A child of this process that stands in another cgroup and makes, connects and uses sockets there when it is told to.
internal import CLinux
internal import Glibc
internal import Synchronization
package import SystemPackage

/// A process in a cgroup of its own that does errands: the kernel asks which cgroup a socket's maker and its user are in.
///
/// It runs nothing but a loop of system calls, holds no lock and no descriptor of this process, and ends with this object.
/// One errand at a time, from any thread.
package final class ErrandProcess: Sendable {
  /// A socket that the child made, or was given.
  package struct Handle: Sendable, Equatable {
    /// The number in the child.
    fileprivate let number: Int32
  }

  /// The child.
  package let id: ProcessID
  private let channel: Mutex<OwnedDescriptor?>

  private init(id: ProcessID, channel: consuming OwnedDescriptor) {
    self.id = id
    self.channel = Mutex(channel)
  }

  deinit { stop() }

  /// Starts one in a cgroup; kernels before 5.7 make it elsewhere, and it is moved before its first errand.
  package static func start(in cgroup: CgroupDirectory) throws(KernelError) -> ErrandProcess {
    var raw: Int32 = -1
    var isPlaced: Int32 = 0
    let pid = try check(
      unsafe sp_errand_start(cgroup.descriptor.raw, &raw, &isPlaced), "start", "process of errands")
    let made = ErrandProcess(id: ProcessID(rawValue: pid), channel: OwnedDescriptor(adopting: raw))
    if isPlaced == 0 { try made.move(to: cgroup) }
    return made
  }

  /// Moves it to another cgroup: what it makes from now on belongs there.
  package func move(to cgroup: CgroupDirectory) throws(KernelError) { try cgroup.add(id) }

  /// Ends it and waits; its sockets live on as long as somebody else holds them.
  package func stop() {
    let open = channel.withLock { channel in
      let was = channel != nil
      channel = nil
      return was
    }
    if open { _ = sp_errand_end(id.rawValue) }
  }

  // MARK: Errands

  /// Has it make a socket, non-blocking; the result is its handle there and a descriptor of the same socket here.
  package func socket(
    family: Int32, type: Int32, protocol: Int32
  ) throws(Errno) -> (handle: Handle, raw: Int32) {
    let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let (number, made) = try run(SP_ERRAND_SOCKET, (family, type | flags, `protocol`))
    guard made >= 0 else { throw .tooManyOpenFiles }
    return (Handle(number: number), made)
  }

  /// connect(2); `name` is a sockaddr.
  package func connect(_ socket: Handle, _ name: [UInt8]) throws(Errno) {
    _ = try run(SP_ERRAND_CONNECT, (socket.number, 0, 0), name: name)
  }

  /// sendto(2), or send(2) if `name` is empty; no SIGPIPE.
  package func send(_ socket: Handle, _ payload: [UInt8], to name: [UInt8] = [], flags: Int32 = 0) throws(Errno) {
    _ = try run(SP_ERRAND_SEND, (socket.number, flags, 0), name: name, payload: payload)
  }

  /// Has it enter a network namespace.
  package func enter(_ namespace: NetworkNamespace) throws(Errno) {
    _ = try run(SP_ERRAND_ENTER, (0, 0, 0), passing: namespace.descriptor.raw)
  }

  /// Hands it a descriptor of this process, by SCM_RIGHTS.
  package func take(_ descriptor: borrowing OwnedDescriptor) throws(Errno) -> Handle {
    Handle(number: try run(SP_ERRAND_KEEP, (0, 0, 0), passing: descriptor.raw).result)
  }

  /// Closes its descriptor of a socket.
  package func close(_ socket: Handle) throws(Errno) { _ = try run(SP_ERRAND_CLOSE, (socket.number, 0, 0)) }

  /// Has it run on one CPU only, so that what it sends stays in order with what others there send; nil = where it runs.
  ///
  /// The result is the CPU's number.
  @discardableResult
  package func stay(onCPU cpu: Int32?) throws(Errno) -> Int32 { try run(SP_ERRAND_CPU, (cpu ?? -1, 0, 0)).result }

  private func run(
    _ kind: sp_errand_kind, _ arguments: (Int32, Int32, Int32), name: [UInt8] = [], payload: [UInt8] = [],
    passing: Int32 = -1
  ) throws(Errno) -> (result: Int32, made: Int32) {
    let errand = sp_errand(
      kind: Int32(kind.rawValue), arguments: arguments, name_length: UInt32(name.count),
      payload_length: UInt32(payload.count))
    let bytes = name + payload
    var made: Int32 = -1
    let rc = channel.withLock { channel -> Int32 in
      guard let raw = channel?.raw else { return -ESRCH }
      return unsafe withUnsafePointer(to: errand) { errand in
        unsafe bytes.withUnsafeBufferPointer { unsafe sp_errand_run(raw, errand, $0.baseAddress, passing, &made) }
      }
    }
    if rc < 0 { throw Errno(rawValue: -rc) }
    return (rc, made)
  }
}
