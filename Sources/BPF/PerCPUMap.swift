// Maps that keep one value per CPU: counters that no two CPUs ever write together.
internal import CLibbpf
internal import Glibc
package import Kernel
internal import SystemPackage

/// A map that gives one value for each possible CPU.
package struct PerCPUMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: ~Copyable, Sendable {
  /// The map's descriptor.
  package let descriptor: OwnedDescriptor
  /// The map's shape; the value's size is that of one CPU.
  package let info: MapInfo
  /// How many CPUs can ever be: the number of values of each entry.
  package let cpuCount: Int

  /// Takes a map's descriptor; throws EINVAL naming what differs from `Key`, `Value` and `type`.
  package init(descriptor: consuming OwnedDescriptor, type: MapType? = nil) throws(BPFError) {
    let info = try MapInfo(of: descriptor)
    try info.require(key: MemoryLayout<Key>.size, value: MemoryLayout<Value>.size, type: type, perCPU: true)
    cpuCount = Int(try checkBPF(libbpf_num_possible_cpus(), "count", "possible CPUs"))
    self.info = info
    self.descriptor = descriptor
  }

  /// The map pinned at `path`.
  package static func pinned(_ path: String, type: MapType? = nil) throws(BPFError) -> PerCPUMap {
    try PerCPUMap(descriptor: OwnedDescriptor.pinned(path, "map"), type: type)
  }

  /// Makes a map of `Key` and `Value`.
  package static func create(
    _ type: MapType, name: String, maxEntries: Int, flags: UInt32 = 0
  ) throws(BPFError) -> PerCPUMap {
    let raw = try createMap(
      type, name: name, sizes: (MemoryLayout<Key>.size, MemoryLayout<Value>.size), maxEntries: maxEntries,
      flags: flags, inner: nil)
    return try PerCPUMap(descriptor: raw, type: type)
  }

  /// The kernel rounds each CPU's value up to 8 bytes.
  private var stride: Int { (MemoryLayout<Value>.size + 7) & ~7 }

  /// The values for `key`, by CPU number, or nil if there is no entry.
  package borrowing func values(for key: Key) throws(BPFError) -> [Value]? {
    var key = key
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: stride * cpuCount, alignment: 8)
    defer { unsafe bytes.deallocate() }
    let rc = unsafe bpf_map_lookup_elem(descriptor.raw, &key, bytes)
    guard rc != -Errno.noSuchFileOrDirectory.rawValue else { return nil }
    try checkBPF(rc, "look up", info.name)
    return unsafe load(bytes, 0)
  }

  /// The values for `key`, by CPU number, or nil if there is no entry.
  package subscript(key: Key) -> [Value]? {
    get throws(BPFError) { try values(for: key) }
  }

  /// Writes one value for every CPU, such as a zero.
  ///
  /// Waits while the kernel has no entry ready (`EntryStock`).
  package borrowing func set(_ value: Value, for key: Key, flags: UpdateFlags = .any) throws(BPFError) {
    var key = key
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: stride * cpuCount, alignment: 8)
    defer { unsafe bytes.deallocate() }
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: stride * cpuCount)
    for cpu in 0..<cpuCount { unsafe bytes.storeBytes(of: value, toByteOffset: cpu * stride, as: Value.self) }
    var stock = EntryStock()
    var rc: Int32
    repeat {
      rc = unsafe bpf_map_update_elem(descriptor.raw, &key, bytes, flags.rawValue)
    } while stock.mayTryAgain(after: rc)
    try checkBPF(rc, "update", info.name)
  }

  /// Removes one entry; false if there was none.
  @discardableResult
  package borrowing func remove(_ key: Key) throws(BPFError) -> Bool {
    var key = key
    let rc = unsafe bpf_map_delete_elem(descriptor.raw, &key)
    guard rc != -Errno.noSuchFileOrDirectory.rawValue else { return false }
    try checkBPF(rc, "delete from", info.name)
    return true
  }

  /// All entries at about this time, each with its values by CPU number.
  package borrowing func entries() throws(BPFError) -> [(key: Key, values: [Value])] {
    var found: [(key: Key, values: [Value])] = []
    let width = stride * cpuCount
    let rc = unsafe lookupBatches(descriptor.raw, info, valueStride: width) { keys, values, count in
      for index in 0..<count {
        let key = unsafe keys.loadUnaligned(fromByteOffset: index * MemoryLayout<Key>.size, as: Key.self)
        unsafe found.append((key, load(values, index * width)))
      }
    }
    if rc >= 0 { return found }
    guard cannotBatch(rc) else { throw BPFError("walk", info.name, Errno(rawValue: -rc)) }
    found = []
    let keys: [Key] = try walkKeys(descriptor.raw, info)
    for key in keys {
      guard let values = try values(for: key) else { continue }
      found.append((key, values))
    }
    return found
  }

  /// Pins the map.
  package borrowing func pin(at path: String) throws(BPFError) {
    try descriptor.pin(at: path)
  }

  /// Bytes of kernel memory the map is charged for, if the kernel says.
  package var memoryLocked: Int? { MapInfo.memoryLocked(descriptor) }

  private borrowing func load(_ bytes: UnsafeRawPointer, _ offset: Int) -> [Value] {
    (0..<cpuCount).map { cpu in
      unsafe bytes.loadUnaligned(fromByteOffset: offset + cpu * stride, as: Value.self)
    }
  }
}
