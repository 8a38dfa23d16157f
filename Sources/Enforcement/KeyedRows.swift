// Rows by key, in shards: a copy that is changed copies one shard.

/// What is known by a key that is not dense.
///
/// Readers take a copy of all rows after every change, so neither taking one nor changing the original may cost as much
/// as there are rows.
struct KeyedRows<Key: Hashable & Sendable, Row: Sendable>: Sendable {
  private static var width: Int { 256 }
  private var shards: [[Key: Row]] = Array(repeating: [:], count: Self.width)
  /// How many rows there are.
  private(set) var count = 0

  /// The row of a key.
  subscript(key: Key) -> Row? {
    get { shards[Self.shard(of: key)][key] }
    set {
      let former =
        if let newValue {
          shards[Self.shard(of: key)].updateValue(newValue, forKey: key)
        } else {
          shards[Self.shard(of: key)].removeValue(forKey: key)
        }
      count += (newValue == nil ? 0 : 1) - (former == nil ? 0 : 1)
    }
  }

  /// All rows, in no order.
  var values: some Sequence<Row> { lazy.map { $0.value } }

  /// The keys of all rows, in no order.
  var keys: some Sequence<Key> { lazy.map { $0.key } }

  private static func shard(of key: Key) -> Int { Int(truncatingIfNeeded: key.hashValue) & (width - 1) }
}

extension KeyedRows: Sequence {
  /// Walks the rows with their keys, in no order; nothing is copied.
  struct Iterator: IteratorProtocol {
    private var shards: Array<[Key: Row]>.Iterator
    private var rows: Dictionary<Key, Row>.Iterator?

    init(_ shards: [[Key: Row]]) { self.shards = shards.makeIterator() }

    mutating func next() -> (key: Key, value: Row)? {
      while true {
        if let row = rows?.next() { return row }
        guard let shard = shards.next() else { return nil }
        rows = shard.makeIterator()
      }
    }
  }

  func makeIterator() -> Iterator { Iterator(shards) }
}
