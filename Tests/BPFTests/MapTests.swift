// Do typed maps refuse what does not fit, and do batches do what single calls do?
import BPF
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Maps", .requires(.bpf))
struct MapTests {
  struct Value: BitwiseCopyable, Equatable {
    var first: UInt64
    var second: UInt64
  }

  @Test("A value is written, read, replaced and removed; absence is nil, not an error")
  func single() throws {
    let map = try BPFMap<UInt64, Value>.create(.hash, name: "t_single", maxEntries: 8)
    #expect(try map.value(for: 7) == nil)
    try map.set(Value(first: 1, second: 2), for: 7)
    #expect(try map[7] == Value(first: 1, second: 2))
    let error = #expect(throws: BPFError.self) { try map.set(Value(first: 0, second: 0), for: 7, flags: .noExist) }
    #expect(error?.errno == .fileExists)
    let removed = try map.remove(7)
    let again = try map.remove(7)
    #expect(removed && !again)
  }

  @Test("A map with other sizes or another type is refused, and the error lists every difference")
  func sizes() throws {
    let map = try BPFMap<UInt64, UInt64>.create(.hash, name: "t_sizes", maxEntries: 8)
    let error = #expect(throws: BPFError.self) {
      _ = try BPFMap<UInt32, Value>(descriptor: map.descriptor.duplicate(), type: .array)
    }
    let remedy = error?.remedy ?? ""
    #expect(remedy == "key is 8 bytes, expected 4; value is 8 bytes, expected 16; type is 1, expected 2")
  }

  @Test("A per-CPU map is never taken for one with single values, nor the other way round")
  func perCPURefused() throws {
    let many = try PerCPUMap<UInt32, UInt64>.create(.perCPUHash, name: "t_percpu", maxEntries: 8)
    #expect(throws: BPFError.self) { _ = try BPFMap<UInt32, UInt64>(descriptor: many.descriptor.duplicate()) }
    let one = try BPFMap<UInt32, UInt64>.create(.hash, name: "t_one", maxEntries: 8)
    #expect(throws: BPFError.self) { _ = try PerCPUMap<UInt32, UInt64>(descriptor: one.descriptor.duplicate()) }
  }

  @Test(
    "Many entries are written, walked and removed in batches",
    arguments: [MapType.hash, .lruHash, .array], [1, 4096, 10000])
  func batches(_ type: MapType, _ count: Int) throws {
    // An LRU gives up entries before it is full.
    let room = type == .lruHash ? 4 * count + 1024 : count
    let map = try BPFMap<UInt32, UInt64>.create(type, name: "t_batch", maxEntries: room)
    try map.setAll((0..<UInt32(count)).map { ($0, UInt64($0) * 3) })
    let found = try map.entries().filter { $0.key < count }
    #expect(found.count == count)
    #expect(found.allSatisfy { $0.value == UInt64($0.key) * 3 })
    guard type != .array else { return }
    try map.removeAll([UInt32.max] + Array(0..<UInt32(count)))
    #expect(try map.count() == 0)
  }

  @Test(
    "Some entries of an array are read, and no others",
    arguments: [0..<1, 0..<10_000, 1..<2, 4095..<4097, 4096..<8192, 9_999..<10_000, 5..<5, 100..<9_000])
  func part(_ indices: Range<UInt32>) throws {
    let map = try BPFMap<UInt32, UInt64>.create(.array, name: "t_part", maxEntries: 10_000)
    try map.setAll((0..<10_000).map { ($0, UInt64($0) * 3) })
    var found: [UInt32] = []
    var isRight = true
    try map.forEach(in: indices) { index, value in
      found.append(index)
      isRight = isRight && value == UInt64(index) * 3
    }
    #expect(found == Array(indices))
    #expect(isRight)
  }

  @Test("A map without batches is filled and walked one by one")
  func fallback() throws {
    // Socket storage has no batches at all; an LPM trie has some, depending on the kernel.
    struct Prefix: BitwiseCopyable, Hashable {
      var length: UInt32
      var bits: UInt32
    }
    let map = try BPFMap<Prefix, UInt32>.create(.lpmTrie, name: "t_lpm", maxEntries: 100, flags: 1)
    let keys = (0..<50).map { Prefix(length: 32, bits: UInt32($0) << 24) }
    try map.setAll(keys: keys, values: (0..<50).map { $0 })
    #expect(try map.count() == 50)
    #expect(Set(try map.entries().map { $0.key }) == Set(keys))
    try map.removeAll(keys)
    #expect(try map.entries().isEmpty)
  }

  @Test("A full map says how many entries were written")
  func full() throws {
    let map = try BPFMap<UInt32, UInt32>.create(.hash, name: "t_full", maxEntries: 10)
    let error = #expect(throws: BPFError.self) { try map.setAll((0..<UInt32(20)).map { ($0, $0) }) }
    #expect(error?.subject == "entry 11 of 20 in t_full")
    #expect(error?.errno.rawValue == 7)
  }

  @Test("A per-CPU map gives a value for every possible CPU, whatever the value's size")
  func perCPU() throws {
    let map = try PerCPUMap<UInt32, UInt32>.create(.perCPUArray, name: "t_cpus", maxEntries: 3)
    try map.set(9, for: 2)
    #expect(try map[2] == [UInt32](repeating: 9, count: map.cpuCount))
    let entries = try map.entries()
    #expect(entries.map { $0.key }.sorted() == [0, 1, 2])
    #expect(entries.first { $0.key == 0 }?.values == [UInt32](repeating: 0, count: map.cpuCount))
  }

  @Test("A map says its name, bounds and memory")
  func info() throws {
    let map = try BPFMap<UInt32, UInt64>.create(.hash, name: "a_name_that_is_too_long", maxEntries: 77)
    let info = map.info
    #expect(info.name == "a_name_that_is_")
    #expect(info.maxEntries == 77 && info.keySize == 4 && info.valueSize == 8)
    #expect((map.memoryLocked ?? 0) > 0)
  }

  @Test("A pinned map outlives its descriptor", .requires(.pins, .root, .cgroups))
  func pinned() throws {
    try withSandbox { sandbox in
      let path = try sandbox.makePinDirectory() + "/map"
      do {
        let map = try BPFMap<UInt32, UInt32>.create(.hash, name: "t_pin", maxEntries: 4)
        try map.set(5, for: 1)
        try map.pin(at: path)
      }
      #expect(try BPFMap<UInt32, UInt32>.pinned(path)[1] == 5)
      let error = #expect(throws: BPFError.self) { _ = try BPFMap<UInt32, UInt32>.pinned(path + "x") }
      #expect(error?.errno == .noSuchFileOrDirectory)
    }
  }
}
