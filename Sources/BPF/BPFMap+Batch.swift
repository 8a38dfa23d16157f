// Many entries in few system calls, and one by one where the map or the kernel cannot batch.
internal import CLibbpf
internal import Kernel
internal import SystemPackage

/// Entries per system call: 100,000 updates in chunks of this size cost what one call costs.
let batchSize = 4096

extension BPFMap {
  /// Writes all entries.
  ///
  /// On failure some may have been written: the subject says how many.
  package borrowing func setAll(_ entries: [(Key, Value)]) throws(BPFError) {
    try setAll(keys: entries.map { $0.0 }, values: entries.map { $0.1 })
  }

  /// Writes `values[i]` for `keys[i]`; the two have the same length.
  ///
  /// On failure some may have been written: the subject says how many.
  /// The corresponding function is `bpf_map_update_batch`; kernel 5.6.
  package borrowing func setAll(
    keys: [Key], values: [Value], flags: UpdateFlags = .any
  ) throws(BPFError) {
    guard keys.count == values.count else {
      throw BPFError("update", info.name, .invalidArgument, remedy: "\(keys.count) keys, \(values.count) values")
    }
    var options = bpf_map_batch_opts(sz: MemoryLayout<bpf_map_batch_opts>.size, elem_flags: flags.rawValue, flags: 0)
    var start = 0
    var stock = EntryStock()
    while start < keys.count {
      let wanted = min(batchSize, keys.count - start)
      var done = UInt32(wanted)
      let rc = unsafe keys.withUnsafeBufferPointer { keys in
        unsafe values.withUnsafeBufferPointer { values in
          guard let key = keys.baseAddress, let value = values.baseAddress else { return Int32(0) }
          return unsafe bpf_map_update_batch(descriptor.raw, key + start, value + start, &done, &options)
        }
      }
      guard rc < 0 else {
        start += wanted
        continue
      }
      if stock.mayTryAgain(after: rc, madeProgress: done > 0) {
        start += Int(done)
        continue
      }
      guard cannotBatch(rc) else { throw partial("update", rc, start + Int(done), of: keys.count) }
      for index in start..<keys.count { try set(values[index], for: keys[index], flags: flags) }
      return
    }
  }

  /// Removes all `keys`; those that are not there are ignored.
  ///
  /// The corresponding function is `bpf_map_delete_batch`; kernel 5.6.
  package borrowing func removeAll(_ keys: [Key]) throws(BPFError) {
    var options = bpf_map_batch_opts(sz: MemoryLayout<bpf_map_batch_opts>.size, elem_flags: 0, flags: 0)
    var start = 0
    while start < keys.count {
      let wanted = min(batchSize, keys.count - start)
      var done = UInt32(wanted)
      let rc = unsafe keys.withUnsafeBufferPointer { keys in
        guard let key = keys.baseAddress else { return Int32(0) }
        return unsafe bpf_map_delete_batch(descriptor.raw, key + start, &done, &options)
      }
      if rc >= 0 {
        start += wanted
      } else if rc == -Errno.noSuchFileOrDirectory.rawValue {
        // The batch stopped at a key that is not there, which is what the caller wanted.
        start += Int(done) + 1
      } else if cannotBatch(rc) {
        for index in start..<keys.count { try remove(keys[index]) }
        return
      } else {
        throw partial("delete", rc, start + Int(done), of: keys.count)
      }
    }
  }

  /// All entries at about this time: entries that change meanwhile may be seen or not.
  ///
  /// The corresponding function is `bpf_map_lookup_batch`; kernel 5.6.
  package borrowing func entries() throws(BPFError) -> [(key: Key, value: Value)] {
    var found: [(key: Key, value: Value)] = []
    let rc = unsafe lookupBatches(descriptor.raw, info, valueStride: MemoryLayout<Value>.size) { keys, values, count in
      for index in 0..<count {
        let key = unsafe keys.loadUnaligned(fromByteOffset: index * MemoryLayout<Key>.size, as: Key.self)
        let value = unsafe values.loadUnaligned(fromByteOffset: index * MemoryLayout<Value>.size, as: Value.self)
        found.append((key, value))
      }
    }
    if rc >= 0 { return found }
    guard cannotBatch(rc) else { throw BPFError("walk", info.name, Errno(rawValue: -rc)) }
    found = []
    for key in try keys() {
      guard let value = try value(for: key) else { continue }
      found.append((key, value))
    }
    return found
  }

  /// All entries in batches of which nothing is kept, for maps that are large.
  ///
  /// Like `entries()`; `body` may remove what it is given, and its error ends the walk.
  package borrowing func forEachBatch(
    _ body: ([(key: Key, value: Value)]) throws(BPFError) -> Void
  ) throws(BPFError) {
    var failure: BPFError?
    var batch: [(key: Key, value: Value)] = []
    let rc = unsafe lookupBatches(descriptor.raw, info, valueStride: MemoryLayout<Value>.size) { keys, values, count in
      guard failure == nil else { return }
      batch.removeAll(keepingCapacity: true)
      for index in 0..<count {
        let key = unsafe keys.loadUnaligned(fromByteOffset: index * MemoryLayout<Key>.size, as: Key.self)
        let value = unsafe values.loadUnaligned(fromByteOffset: index * MemoryLayout<Value>.size, as: Value.self)
        batch.append((key, value))
      }
      do throws(BPFError) { try body(batch) } catch { failure = error }
    }
    if let failure { throw failure }
    if rc >= 0 { return }
    guard cannotBatch(rc) else { throw BPFError("walk", info.name, Errno(rawValue: -rc)) }
    try body(try entries())
  }

  /// The entries of an array at these indices, in order; nothing is kept of them.
  ///
  /// The corresponding function is `bpf_map_lookup_batch`; kernel 5.6.
  package borrowing func forEach(
    in indices: Range<UInt32>, _ body: (UInt32, Value) -> Void
  ) throws(BPFError) where Key == UInt32 {
    guard !indices.isEmpty else { return }
    let stride = MemoryLayout<Value>.size
    let rc = unsafe lookupBatches(descriptor.raw, info, valueStride: stride, indices: indices) { keys, values, count in
      for place in 0..<count {
        let key = unsafe keys.loadUnaligned(fromByteOffset: place * MemoryLayout<UInt32>.size, as: UInt32.self)
        body(key, unsafe values.loadUnaligned(fromByteOffset: place * stride, as: Value.self))
      }
    }
    if rc >= 0 { return }
    guard cannotBatch(rc) else { throw BPFError("walk", info.name, Errno(rawValue: -rc)) }
    for index in indices {
      if let value = try value(for: index) { body(index, value) }
    }
  }

  /// All keys at about this time, one system call each; bounded by twice the map's size.
  ///
  /// A key that is removed while we stand on it makes the kernel start again: the bound ends that.
  package borrowing func keys() throws(BPFError) -> [Key] {
    try walkKeys(descriptor.raw, info)
  }

  private borrowing func partial(_ operation: String, _ rc: Int32, _ done: Int, of all: Int) -> BPFError {
    BPFError(operation, "entry \(min(done + 1, all)) of \(all) in \(info.name)", Errno(rawValue: -rc))
  }
}

/// Whether an error means that this map type or kernel has no batches; 524 is the kernel's ENOTSUPP.
func cannotBatch(_ rc: Int32) -> Bool {
  [-524, -Errno.notSupported.rawValue, -Errno.invalidArgument.rawValue].contains(rc)
}

/// Walks a map's keys with `bpf_map_get_next_key`.
func walkKeys<Key: BitwiseCopyable>(_ map: Int32, _ info: MapInfo) throws(BPFError) -> [Key] {
  var keys: [Key] = []
  let end = -Errno.noSuchFileOrDirectory.rawValue
  try unsafe withUnsafeTemporaryAllocation(of: Key.self, capacity: 2) { buffer throws(BPFError) in
    guard let next = buffer.baseAddress else { return }
    let previous = unsafe next + 1
    var rc = unsafe bpf_map_get_next_key(map, nil, next)
    while rc != end, keys.count < 2 * info.maxEntries {
      try checkBPF(rc, "walk", info.name)
      unsafe keys.append(next.pointee)
      unsafe previous.initialize(to: next.pointee)
      rc = unsafe bpf_map_get_next_key(map, previous, next)
    }
  }
  return keys
}

/// Calls `body` with each batch of keys and values; the result is 0, or -errno of the call that failed.
///
/// A hash answers ENOSPC when one bucket does not fit: the batch doubles until it does. `indices` limits it to those of an
/// array.
func lookupBatches(
  _ map: Int32, _ info: MapInfo, valueStride: Int, indices: Range<UInt32>? = nil,
  _ body: (UnsafeRawPointer, UnsafeRawPointer, Int) -> Void
) -> Int32 {
  var options = bpf_map_batch_opts(sz: MemoryLayout<bpf_map_batch_opts>.size, elem_flags: 0, flags: 0)
  var remaining = indices?.count ?? info.maxEntries
  var capacity = min(batchSize, max(remaining, 1))
  var keys = UnsafeMutableRawPointer.allocate(byteCount: capacity * info.keySize, alignment: 8)
  var values = UnsafeMutableRawPointer.allocate(byteCount: capacity * valueStride, alignment: 8)
  // The position between calls: a bucket number for hashes, a key for the others.
  let position = UnsafeMutableRawPointer.allocate(byteCount: max(info.keySize, 8), alignment: 8)
  defer {
    unsafe keys.deallocate()
    unsafe values.deallocate()
    unsafe position.deallocate()
  }
  var started = false
  if let first = indices?.lowerBound, first > 0 {
    // An array's batch begins behind the key that it is given.
    unsafe position.storeBytes(of: first - 1, as: UInt32.self)
    started = true
  }
  while true {
    var count = UInt32(capacity)
    let rc = unsafe bpf_map_lookup_batch(map, started ? position : nil, position, keys, values, &count, &options)
    if rc == -Errno.noSpace.rawValue, capacity < 1 << 24 {
      capacity *= 2
      unsafe keys.deallocate()
      unsafe values.deallocate()
      unsafe keys = UnsafeMutableRawPointer.allocate(byteCount: capacity * info.keySize, alignment: 8)
      unsafe values = UnsafeMutableRawPointer.allocate(byteCount: capacity * valueStride, alignment: 8)
      continue
    }
    let ended = rc == -Errno.noSuchFileOrDirectory.rawValue
    guard rc >= 0 || ended else { return rc }
    unsafe body(keys, values, Int(count))
    if ended { return 0 }
    if indices != nil {
      remaining -= Int(count)
      guard remaining > 0 else { return 0 }
      capacity = min(capacity, remaining)
    }
    started = true
  }
}
