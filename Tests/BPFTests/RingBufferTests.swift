// Does every record of a ring arrive once, in order, also without a wakeup?
import BPF
import Kernel
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite("Ring buffer", .requires(.bpf, .feature(.map(.ringBuffer, name: "ring buffer", since: "5.8"))))
struct RingBufferTests {
  /// Collects what the reader hands over.
  private final class Collected: Sendable {
    let records = Mutex<[UInt64]>([])
  }

  /// Holds a reader that its own handler lets go.
  private final class Keeper: Sendable {
    let holder = Mutex<RingBuffer?>(nil)

    /// Nobody else keeps the reader when this returns.
    func hold(
      _ map: borrowing OwnedDescriptor, _ handler: @escaping @Sendable ([UInt64]) -> Void
    ) throws {
      let reader = try RingBuffer.start(map: map.duplicate(), of: UInt64.self, timeout: 10, handler: handler)
      holder.withLock { $0 = reader }
    }
  }

  private let packet = PacketBuilder.ipv4(from: [1, 1, 1, 1], to: [2, 2, 2, 2]).udp(from: 1, to: 1).bytes
  private let noWakeup: Int32 = 1

  /// A program that writes `size` bytes of a number to the ring, with the helper's `flags`.
  private func writer(
    to ring: borrowing OwnedDescriptor, value: Int32, size: Int32 = 8, flags: Int32 = 0
  ) throws(BPFError) -> BPFProgram {
    let isMapDescriptor: UInt8 = 1
    return try BPFProgram.load(
      .socketFilter, name: "t_writer",
      instructions: [
        Instruction(0x7a, target: 10, offset: -8, immediate: value),
        Instruction(0x18, target: 1, source: isMapDescriptor, immediate: ring.raw), Instruction(0),
        Instruction(0xbf, target: 2, source: 10), Instruction(0x07, target: 2, immediate: -8),
        .move(3, size), .move(4, flags), .call(130), .move(0, 0), .exit,
      ])
  }

  @Test("Records arrive in order, none twice and none lost, and those of another size are counted")
  func order() throws {
    let map = try createRingBuffer(name: "t_ring", bytes: 1 << 16)
    let first = try writer(to: map, value: 1)
    let second = try writer(to: map, value: 2, flags: noWakeup)
    let odd = try writer(to: map, value: 3, size: 4)
    let collected = Collected()
    let reader = try RingBuffer.start(map: map.duplicate(), of: UInt64.self, timeout: 10, batch: 16) { batch in
      collected.records.withLock { $0 += batch }
    }
    for _ in 0..<50 {
      _ = try first.testRun(packet: packet, repeating: 10)
      _ = try second.testRun(packet: packet, repeating: 10)
      _ = try odd.testRun(packet: packet)
    }
    reader.stop()
    let expected = (0..<50).flatMap { _ in [UInt64](repeating: 1, count: 10) + [UInt64](repeating: 2, count: 10) }
    #expect(collected.records.withLock { $0 } == expected)
    #expect(reader.counts == RingBuffer.Counts(records: 1000, malformed: 50, pending: 0))
    reader.stop()
  }

  @Test("Records without a wakeup arrive within the timeout")
  func noWakeupDrains() async throws {
    let map = try createRingBuffer(name: "t_quiet", bytes: 4096)
    let quiet = try writer(to: map, value: 7, flags: noWakeup)
    let (stream, continuation) = AsyncStream.makeStream(of: [UInt64].self)
    let reader = try RingBuffer.start(map: map.duplicate(), of: UInt64.self, timeout: 20) { continuation.yield($0) }
    _ = try quiet.testRun(packet: packet)
    var batches = stream.makeAsyncIterator()
    #expect(await batches.next() == [7])
    reader.stop()
  }

  @Test("A ring far smaller than what is written wraps without a wrong record")
  func wraps() throws {
    let map = try createRingBuffer(name: "t_wrap", bytes: 4096)
    let program = try writer(to: map, value: 9)
    let collected = Collected()
    let reader = try RingBuffer.start(map: map.duplicate(), of: UInt64.self) { batch in
      collected.records.withLock { $0 += batch }
    }
    for _ in 0..<100 { _ = try program.testRun(packet: packet, repeating: 200) }
    reader.stop()
    let records = collected.records.withLock { $0 }
    #expect(records.count >= 200)
    #expect(records.allSatisfy { $0 == 9 })
  }

  @Test("Records that are larger than they may be are counted and left out, also where they wrap")
  func oversized() async throws {
    let map = try createRingBuffer(name: "t_large", bytes: 4096)
    let large = try writer(to: map, value: 9)
    let right = try writer(to: map, value: 5, size: 4)
    let (stream, continuation) = AsyncStream.makeStream(of: [UInt32].self)
    let reader = try RingBuffer.start(map: map.duplicate(), of: UInt32.self, timeout: 20) { continuation.yield($0) }
    var batches = stream.makeAsyncIterator()
    for _ in 0..<20 {
      _ = try large.testRun(packet: packet, repeating: 100)
      _ = try right.testRun(packet: packet)
      #expect(await batches.next() == [5])
    }
    reader.stop()
    #expect(reader.counts == RingBuffer.Counts(records: 20, malformed: 2000, pending: 0))
  }

  @Test("A handler that drops the last reference to its reader ends it")
  func stoppedByHandler() async throws {
    let map = try createRingBuffer(name: "t_self", bytes: 4096)
    let program = try writer(to: map, value: 5)
    let keeper = Keeper()
    let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
    try keeper.hold(map) { batch in
      keeper.holder.withLock { $0 = nil }
      continuation.yield(batch.count)
      continuation.finish()
    }
    _ = try program.testRun(packet: packet)
    var sum = 0
    for await count in stream { sum += count }
    #expect(sum == 1)
  }

  @Test("A map of another type is refused")
  func wrongType() throws {
    let map = try BPFMap<UInt32, UInt32>.create(.hash, name: "t_noring", maxEntries: 1)
    let error = #expect(throws: BPFError.self) {
      _ = try RingBuffer.start(map: map.descriptor.duplicate(), of: UInt64.self) { _ in }
    }
    #expect(error?.errno == .invalidArgument)
  }
}
