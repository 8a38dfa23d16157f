// A dictionary that never grows past its limit: the oldest entry makes room, and that is counted.

/// At most `limit` entries; a new one evicts the one that was written first.
struct BoundedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  private struct Entry: Sendable {
    var value: Value
    var serial: UInt64
  }

  private var entries: [Key: Entry] = [:]
  /// Keys in the order of their serials, with gaps where entries were removed; `head` is the first that may live.
  private var order: [(key: Key, serial: UInt64)] = []
  private var head = 0
  private var nextSerial: UInt64 = 0
  let limit: Int
  private(set) var evicted: UInt64 = 0

  init(limit: Int) { self.limit = max(limit, 1) }

  var count: Int { entries.count }

  /// The value of a key; writing a new key may evict another, writing a known one keeps its place.
  subscript(key: Key) -> Value? { entries[key]?.value }

  mutating func set(_ value: Value, for key: Key) {
    if let index = entries.index(forKey: key) {
      entries.values[index].value = value
      return
    }
    if entries.count >= limit { evictOldest() }
    entries[key] = Entry(value: value, serial: nextSerial)
    order.append((key, nextSerial))
    nextSerial += 1
    // Removed keys leave gaps; sweep them when they are the greater part, so that a change costs O(1) on average.
    if order.count > 2 * limit || (order.count > 1024 && order.count > 4 * entries.count) { compact() }
  }

  @discardableResult
  mutating func remove(_ key: Key) -> Value? { entries.removeValue(forKey: key)?.value }

  private mutating func evictOldest() {
    while head < order.count {
      let (key, serial) = order[head]
      head += 1
      if let entry = entries[key], entry.serial == serial {
        entries[key] = nil
        evicted += 1
        return
      }
    }
  }

  private mutating func compact() {
    order = order[head...].filter { entries[$0.key]?.serial == $0.serial }
    head = 0
  }
}
