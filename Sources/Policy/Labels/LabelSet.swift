// A set of labels in its one canonical order: what an identity stands for.

/// Labels with distinct keys, sorted by key.
package struct LabelSet: Sendable, Hashable, CustomStringConvertible {
  /// Bytes from which the set can be read back, so that no two sets share them: for every label in order the
  /// length (32 bits, big endian) and bytes of the key, then the same of the value.
  ///
  /// A set is held in this form alone: there are a hundred thousand of them, and strings would take twice the memory.
  package let canonicalBytes: [UInt8]

  /// No labels at all.
  package static let empty = LabelSet(sorted: [])

  /// Takes labels in any order; the same key twice is an error.
  package init(_ labels: [Label]) throws(LabelError) {
    let sorted = labels.sorted()
    for (first, second) in zip(sorted, sorted.dropFirst()) where first.key == second.key {
      throw LabelError(subject: "label key \(first.key.shown)", problem: "occurs twice")
    }
    self.init(sorted: sorted)
  }

  init(sorted labels: [Label]) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(labels.reduce(0) { $0 + 8 + $1.key.utf8.count + $1.value.utf8.count })
    func append(_ text: String) {
      let count = UInt32(truncatingIfNeeded: text.utf8.count)
      for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: count >> shift)) }
      bytes.append(contentsOf: text.utf8)
    }
    for label in labels {
      append(label.key)
      append(label.value)
    }
    canonicalBytes = bytes
  }

  /// The labels, sorted by the bytes of their keys; made anew by each call.
  package var labels: [Label] {
    var labels: [Label] = []
    var place = 0
    while place < canonicalBytes.count {
      let key = String(decoding: text(at: &place), as: UTF8.self)
      labels.append(Label(uncheckedKey: key, value: String(decoding: text(at: &place), as: UTF8.self)))
    }
    return labels
  }

  /// The value of a key, or nil.
  package subscript(key: String) -> String? { exactValue(of: key)?.text }

  func exactValue(of key: String) -> ExactText? {
    var place = 0
    while place < canonicalBytes.count {
      let isWanted = text(at: &place).elementsEqual(key.utf8)
      let value = text(at: &place)
      if isWanted { return ExactText(String(decoding: value, as: UTF8.self)) }
    }
    return nil
  }

  /// The text whose length is at a place; the place is then behind it.
  private func text(at place: inout Int) -> ArraySlice<UInt8> {
    let start = place + 4
    let count = canonicalBytes[place..<start].reduce(0) { $0 << 8 | Int($1) }
    place = start + count
    return canonicalBytes[start..<place]
  }

  /// This set with the labels of another one laid over it.
  package func merging(_ other: LabelSet) -> LabelSet {
    let kept = labels.filter { other.exactValue(of: $0.key) == nil }
    return LabelSet(sorted: (kept + other.labels).sorted())
  }

  /// `k=v,k2=v2`, which `init(parsing:)` reads back.
  package var description: String { labels.map(\.description).joined(separator: ",") }
}
