// The memory of a BPF ring buffer, as Documentation/bpf/ringbuf.rst of the kernel lays it out.
internal import CLibbpf
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// The two mappings of a ring: the consumer's page, then the producer's page with the data, and behind that its beginning
/// once more.
///
/// Safe: every access stays inside the mappings, whose sizes come from the kernel, larger records are not touched, and
/// records are read only up to the producer's position.
@safe struct RingMemory: ~Copyable {
  private let map: OwnedDescriptor
  private let consumer: UnsafeMutableRawPointer
  private let producer: UnsafeMutableRawPointer
  private let size: Int
  private let page: Int
  private let largest: Int
  private let mapped: Int

  /// Two flags and a length share the first word of each record.
  private static let busy: UInt32 = 1 << 31
  private static let discarded: UInt32 = 1 << 30
  private static let headerSize = 8

  /// Maps the ring for records of at most `largest` bytes; `map` is kept, since the mapping alone does not keep a pinned
  /// map's name.
  init(map: consuming OwnedDescriptor, info: MapInfo, largest: Int) throws(BPFError) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let size = info.maxEntries
    let largest = min(largest, size)
    // The kernel has the data twice in a row, so that a record that wraps is still contiguous. Only as much of the second
    // time as a record may need is mapped: all of a mapping counts as resident.
    let mapped = page + size + min((largest + Self.headerSize + page - 1) / page * page, size)
    let consumer = try unsafe Self.mapping(map.raw, page, PROT_READ | PROT_WRITE, 0, info.name)
    let producer: UnsafeMutableRawPointer
    do {
      unsafe producer = try Self.mapping(map.raw, mapped, PROT_READ, page, info.name)
    } catch {
      unsafe munmap(consumer, page)
      throw error
    }
    self.map = map
    unsafe self.consumer = consumer
    unsafe self.producer = producer
    self.size = size
    self.page = page
    self.largest = largest
    self.mapped = mapped
  }

  deinit {
    unsafe munmap(consumer, page)
    unsafe munmap(producer, mapped)
  }

  private static func mapping(
    _ map: Int32, _ length: Int, _ protection: Int32, _ offset: Int, _ name: String
  ) throws(BPFError) -> UnsafeMutableRawPointer {
    let address = unsafe mmap(nil, length, protection, MAP_SHARED, map, offset)
    let error = errno
    guard let address = unsafe address, unsafe address != UnsafeMutableRawPointer(bitPattern: -1) else {
      throw BPFError("map ring buffer", name, Errno(rawValue: error))
    }
    return unsafe address
  }

  /// The position up to which producers have reserved; acquire, as the kernel releases it.
  private var produced: UInt64 {
    unsafe producer.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .acquiring)
  }

  private var consumed: UInt64 {
    unsafe consumer.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
  }

  /// Bytes between the two positions.
  var pending: UInt64 { produced &- consumed }

  /// Calls `body` with each finished record, at most `limit`; tells whether the limit ended it, and how many were larger
  /// than they may be and left out.
  ///
  /// The bytes are valid only during the call: the space goes back to the producers before the next one.
  borrowing func read(upTo limit: Int, _ body: (RawSpan) -> Void) -> (isMore: Bool, oversized: UInt64) {
    var position = consumed
    var count = 0
    var oversized: UInt64 = 0
    var end = produced
    while count < limit {
      if position >= end {
        // Producers may have gone on meanwhile: only an unchanged position means that we may sleep.
        end = produced
        if position >= end { return (false, oversized) }
      }
      let record = unsafe producer + page + Int(position & UInt64(size - 1))
      let header = unsafe record.assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring)
      // Reserved, not yet committed: later records wait, so that the order stays.
      if header & Self.busy != 0 { return (false, oversized) }
      let length = Int(header & ~(Self.busy | Self.discarded))
      if header & Self.discarded == 0 {
        if length <= largest {
          let bytes = unsafe UnsafeRawBufferPointer(start: record + Self.headerSize, count: length)
          body(unsafe bytes.bytes)
        } else {
          oversized += 1
        }
        count += 1
      }
      position &+= UInt64((length + Self.headerSize + 7) & ~7)
      unsafe consumer.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.store(position, ordering: .releasing)
    }
    return (true, oversized)
  }
}
