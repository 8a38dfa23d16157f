// The listening sockets of one subject: TCP and UDP, both families, on addresses of loopback that are its own.
import Glibc
import Kernel
import Policy
import TestSupport

/// A socket address of either family, as the calls want it.
struct SocketName: Sendable {
  private let bytes: [UInt8]

  init(_ address: IPAddress, port: UInt16) {
    let portBytes = [UInt8(port >> 8), UInt8(port & 0xff)]
    func family(_ value: Int32) -> [UInt8] { [UInt8(value), 0] }
    let all = (0..<16).map { address.bytes[$0] }
    bytes =
      address.isIPv4
      ? family(AF_INET) + portBytes + all.suffix(4) + [UInt8](repeating: 0, count: 8)
      : family(AF_INET6) + portBytes + [0, 0, 0, 0] + all + [0, 0, 0, 0]
  }

  func withUnsafe<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var storage = sockaddr_storage()
    return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
      let raw = UnsafeMutableRawPointer(pointer)
      unsafe raw.copyMemory(from: bytes, byteCount: bytes.count)
      return unsafe body(raw.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
  }
}

/// Bound sockets that belong to one subject's cgroup; they live as long as the test.
final class Servers: Sendable {
  let index: Int
  private let descriptors: [Int: OwnedDescriptorBox]

  private final class OwnedDescriptorBox: Sendable {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }

  private static func key(_ port: UInt16, _ isTCP: Bool, _ isIPv4: Bool) -> Int {
    Int(port) << 2 | (isTCP ? 2 : 0) | (isIPv4 ? 1 : 0)
  }

  static func address(_ index: Int, port: UInt16, isIPv4: Bool) -> SocketName {
    SocketName(
      isIPv4 ? IPAddress(ipv4: 0x7f00_0100 + UInt32(index) + 1) : IPAddress(high: 0xfd01 << 48, low: UInt64(index) + 1),
      port: port)
  }

  init(_ bench: ProgramBench, _ index: Int) throws {
    self.index = index
    try bench.sandbox.command(
      ["ip", "addr", "add", "fd01::\(String(index + 1, radix: 16))/128", "dev", "lo", "nodad"], namespace: bench.inside)
    descriptors = try bench.run(as: index) {
      var made: [Int: OwnedDescriptorBox] = [:]
      for port in SocketDifferentialTests.ports {
        for (isTCP, isIPv4) in [(true, true), (true, false), (false, true), (false, false)] {
          let kind = isTCP ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue
          let socket = try OwnedDescriptor.socket(isIPv4 ? AF_INET : AF_INET6, Int32(kind), 0)
          let name = Servers.address(index, port: port, isIPv4: isIPv4)
          let bound = unsafe name.withUnsafe { unsafe bind(socket.raw, $0, $1) }
          guard bound == 0, !isTCP || listen(socket.raw, 64) == 0 else { throw WorkerIsGone() }
          made[Servers.key(port, isTCP, isIPv4)] = OwnedDescriptorBox(socket)
        }
      }
      return made
    }
  }

  /// The socket that an attempt arrives at.
  func descriptor(port: UInt16, isTCP: Bool, isIPv4: Bool) -> Int32 {
    descriptors[Self.key(port, isTCP, isIPv4)]?.descriptor.raw ?? -1
  }
}
