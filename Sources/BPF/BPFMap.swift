// A typed view of a map: keys and values are Swift's own, their sizes checked once against the kernel's.
internal import CLibbpf
package import Kernel
internal import SystemPackage

/// A map whose keys and values have fixed sizes, held by descriptor.
///
/// Every call is a system call, safe from any thread; the kernel orders concurrent writers.
/// `Key` must have no padding: the kernel hashes all its bytes.
package struct BPFMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: ~Copyable, Sendable {
  /// The map's descriptor.
  package let descriptor: OwnedDescriptor
  /// The map's shape.
  package let info: MapInfo

  /// Takes a map's descriptor; throws EINVAL naming what differs from `Key`, `Value` and `type`.
  package init(descriptor: consuming OwnedDescriptor, type: MapType? = nil) throws(BPFError) {
    let info = try MapInfo(of: descriptor)
    try info.require(key: MemoryLayout<Key>.size, value: MemoryLayout<Value>.size, type: type, perCPU: false)
    self.info = info
    self.descriptor = descriptor
  }

  /// The map pinned at `path`.
  package static func pinned(_ path: String, type: MapType? = nil) throws(BPFError) -> BPFMap {
    try BPFMap(descriptor: OwnedDescriptor.pinned(path, "map"), type: type)
  }

  /// Makes a map of `Key` and `Value`; `name` is cut to 15 characters, `flags` are `BPF_F_…` numbers.
  ///
  /// For maps of maps `inner` is a map like those that will be put in. The corresponding function is `bpf_map_create`.
  package static func create(
    _ type: MapType, name: String, maxEntries: Int, flags: UInt32 = 0, inner: Int32? = nil
  ) throws(BPFError) -> BPFMap {
    let raw = try createMap(
      type, name: name, sizes: (MemoryLayout<Key>.size, MemoryLayout<Value>.size), maxEntries: maxEntries,
      flags: flags, inner: inner)
    return try BPFMap(descriptor: raw, type: type)
  }

  /// The value for `key`, or nil if there is none.
  package borrowing func value(for key: Key) throws(BPFError) -> Value? {
    var key = key
    return try unsafe withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { buffer throws(BPFError) in
      let rc = unsafe bpf_map_lookup_elem(descriptor.raw, &key, buffer.baseAddress)
      guard rc != -Errno.noSuchFileOrDirectory.rawValue else { return nil }
      try checkBPF(rc, "look up", info.name)
      return unsafe buffer[0]
    }
  }

  /// The value for `key`, or nil if there is none.
  package subscript(key: Key) -> Value? {
    get throws(BPFError) { try value(for: key) }
  }

  /// Writes one entry; E2BIG when a hash is full.
  package borrowing func set(_ value: Value, for key: Key, flags: UpdateFlags = .any) throws(BPFError) {
    var key = key
    var value = value
    var stock = EntryStock()
    var rc: Int32
    repeat {
      rc = unsafe bpf_map_update_elem(descriptor.raw, &key, &value, flags.rawValue)
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

  /// Pins the map.
  package borrowing func pin(at path: String) throws(BPFError) {
    try descriptor.pin(at: path)
  }

  /// Bytes of kernel memory the map is charged for, if the kernel says.
  package var memoryLocked: Int? { MapInfo.memoryLocked(descriptor) }

  /// How many entries there are now; walks the whole map.
  package borrowing func count() throws(BPFError) -> Int {
    try keys().count
  }
}

/// Makes a map; shared by the typed views.
func createMap(
  _ type: MapType, name: String, sizes: (key: Int, value: Int), maxEntries: Int, flags: UInt32, inner: Int32?
) throws(BPFError) -> OwnedDescriptor {
  var options = bpf_map_create_opts()
  options.sz = MemoryLayout<bpf_map_create_opts>.size
  options.map_flags = flags
  options.inner_map_fd = UInt32(bitPattern: inner ?? 0)
  let kind = bpf_map_type(rawValue: type.rawValue)
  let kernelName = String(name.prefix(15))
  let raw = unsafe bpf_map_create(
    kind, kernelName, UInt32(sizes.key), UInt32(sizes.value), UInt32(clamping: maxEntries), &options)
  return OwnedDescriptor(adopting: try checkBPF(raw, "create map", name))
}
