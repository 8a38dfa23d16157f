// Do the tests' own tools do what tests rely on?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Sandboxes and packets")
struct SupportTests {
  private struct Planned: Error {}

  @Test("A sandbox leaves nothing behind, also when the test fails", .requires(.root, .cgroups, .pins))
  func sandbox() throws {
    var path: FilePath?
    var pins: String?
    #expect(throws: Planned.self) {
      try withSandbox { sandbox in
        path = sandbox.cgroup.path
        pins = try sandbox.makePinDirectory()
        _ = try sandbox.start(["sleep", "60"], cgroup: try sandbox.makeCgroup("a/b"))
        throw Planned()
      }
    }
    let hierarchy = try CgroupHierarchy.find()
    let gone = try #require(path)
    #expect(throws: KernelError.self) { try hierarchy.directory(at: gone) }
    let directory = try #require(pins)
    #expect(unsafe access(directory, F_OK) != 0)
  }

  @Test("A child writes into a pipe, and its exit code is told")
  func pipe() throws {
    let pipe = try Pipe.make()
    let child = try ChildProcess.start("/bin/sh", ["-c", "printf hi; exit 3"], output: pipe.input.raw)
    #expect(try child.wait() == 3)
    var bytes: (UInt8, UInt8) = (0, 0)
    let count = unsafe read(pipe.output.raw, &bytes, 2)
    #expect(count == 2 && bytes == (104, 105))
  }

  @Test("An IPv4 packet has the checksum of the textbook")
  func ipv4() {
    // RFC 1071's sum over 4500 0020 1234 0000 4011 …, worked out by hand for these addresses.
    let packet = PacketBuilder.ipv4(from: [10, 0, 0, 1], to: [10, 0, 0, 2]).udp(from: 1, to: 2, payload: [1, 2, 3, 4])
    let bytes = Array(packet.withoutEthernet.bytes)
    #expect(bytes.prefix(10).elementsEqual([0x45, 0, 0, 32, 0x12, 0x34, 0, 0, 64, 17]))
    #expect(Self.sum(bytes.prefix(20)) == 0xffff)
    #expect(Self.sum([10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 12] + bytes.dropFirst(20)) == 0xffff)
    #expect(packet.bytes.count == bytes.count + 14)
  }

  @Test("IPv6 extension headers are chained to the transport, and each is a multiple of 8 bytes")
  func ipv6() {
    let address = [UInt8](repeating: 1, count: 16)
    let bytes = PacketBuilder.ipv6(from: address, to: address)
      .extensionHeader(0, [5, 2, 0, 0]).extensionHeader(60, [1, 2, 3, 4, 5, 6, 7]).fragment(offset: 16, more: true)
      .tcp(from: 1, to: 2, flags: [.syn, .ack]).withoutEthernet.bytes
    #expect(bytes[6] == 0 && bytes[40] == 60 && bytes[48] == 44 && bytes[64] == 6)
    #expect(bytes[49] == 1)
    #expect(bytes[66] == 0 && bytes[67] == 17)
    #expect(bytes[72 + 13] == 0x12)
    #expect(Int(bytes[4]) << 8 | Int(bytes[5]) == bytes.count - 40)
  }

  /// The folded ones' complement sum, which is all ones over bytes with a right checksum.
  private static func sum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var sum: UInt32 = 0
    for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return sum
  }
}
