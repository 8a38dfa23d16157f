// The cells of a policy in the order of their keys: two tables are compared in one walk, a cell is found by halving.

/// Cells by key, sorted.
///
/// There are hundreds of thousands of them, and what is done most is comparing two tables: so they are two plain lists
/// and no hash table.
package struct CellTable: Sendable, Equatable {
  /// The keys, ascending.
  package private(set) var keys: [CellKey] = []
  /// The cell of the key at the same position.
  package private(set) var values: [Cell] = []

  /// No cells.
  package init() {}

  /// Adds a cell after all others.
  mutating func append(_ cell: Cell, for key: CellKey) {
    keys.append(key)
    values.append(cell)
  }

  /// The cell of a key; nil = there is none.
  ///
  /// Setting one costs as much as there are cells behind it.
  package subscript(key: CellKey) -> Cell? {
    get {
      let position = position(of: key)
      return position < keys.count && keys[position] == key ? values[position] : nil
    }
    set {
      let position = position(of: key)
      let isThere = position < keys.count && keys[position] == key
      switch (newValue, isThere) {
      case (let cell?, true): values[position] = cell
      case (let cell?, false):
        keys.insert(key, at: position)
        values.insert(cell, at: position)
      case (nil, true):
        keys.remove(at: position)
        values.remove(at: position)
      case (nil, false): break
      }
    }
  }

  /// Where a key is, or would be.
  private func position(of key: CellKey) -> Int {
    var (low, high) = (0, keys.count)
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Adds the cells of another table, none of whose keys it has.
  mutating func merge(_ other: CellTable) {
    if other.keys.isEmpty { return }
    var merged = CellTable()
    merged.keys.reserveCapacity(keys.count + other.keys.count)
    merged.values.reserveCapacity(keys.count + other.keys.count)
    var place = 0
    for (key, cell) in other {
      let end = position(of: key)
      merged.keys += keys[place..<end]
      merged.values += values[place..<end]
      merged.append(cell, for: key)
      place = end
    }
    merged.keys += keys[place...]
    merged.values += values[place...]
    self = merged
  }

  /// What turns `former` into this table: cells that are new or differ, and keys that go, both ascending.
  package func changes(from former: CellTable) -> (set: CellTable, gone: [CellKey]) {
    var changed = CellTable()
    var gone: [CellKey] = []
    var (own, other) = (0, 0)
    while own < keys.count, other < former.keys.count {
      let (key, formerKey) = (keys[own], former.keys[other])
      if key == formerKey {
        if values[own] != former.values[other] { changed.append(values[own], for: key) }
        own += 1
        other += 1
      } else if key < formerKey {
        changed.append(values[own], for: key)
        own += 1
      } else {
        gone.append(formerKey)
        other += 1
      }
    }
    changed.keys += keys[own...]
    changed.values += values[own...]
    gone += former.keys[other...]
    return (changed, gone)
  }
}

extension CellTable: RandomAccessCollection {
  /// The first position.
  package var startIndex: Int { 0 }
  /// The position after the last.
  package var endIndex: Int { keys.count }
  /// The cell at a position, with its key.
  package subscript(position: Int) -> (key: CellKey, value: Cell) { (keys[position], values[position]) }

  /// Takes cells in any order, each key once.
  package init(_ cells: some Sequence<(key: CellKey, value: Cell)>) {
    for (key, cell) in cells.sorted(by: { $0.key < $1.key }) { append(cell, for: key) }
  }
}
