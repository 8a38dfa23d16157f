// What a test says to a child and hears from it.
internal import Glibc
internal import Kernel
internal import SystemPackage

/// A stream between a test and a child: sockets, since pipe(2) cannot make its ends close-on-exec in the same step.
struct Stream: ~Copyable {
  /// The test's end.
  let own: OwnedDescriptor
  /// The child's end, closed here once the child has it.
  let other: OwnedDescriptor

  init() throws {
    var ends: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let rc = unsafe socketpair(AF_UNIX, type, 0, &ends)
    guard rc == 0 else { throw Errno(rawValue: errno) }
    own = OwnedDescriptor(adopting: ends[0])
    other = OwnedDescriptor(adopting: ends[1])
  }

  /// Lets go of the child's end: then this one ends with the child.
  consuming func handOver() -> ChildStream { ChildStream(descriptor: own) }
}

/// What a child reads and writes.
struct ChildStream: ~Copyable {
  let descriptor: OwnedDescriptor

  /// The next bytes, waiting for them; empty at the end.
  borrowing func read() -> String {
    var bytes = [UInt8](repeating: 0, count: 65536)
    var count = 0
    // A signal may interrupt read(2); that is not the end of the stream.
    repeat {
      count = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor.raw, $0.baseAddress, $0.count) }
    } while count < 0 && errno == EINTR
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  /// Everything up to the end.
  borrowing func readAll() -> String {
    var text = ""
    while true {
      let next = read()
      guard !next.isEmpty else { return text }
      text += next
    }
  }

  /// Writes text.
  borrowing func write(_ text: String) {
    _ = unsafe Array(text.utf8).withUnsafeBytes { unsafe Glibc.write(descriptor.raw, $0.baseAddress, $0.count) }
  }
}
