// A set of labels in its one canonical order: what an identity stands for.

/// Labels with distinct keys, sorted by key.
public struct LabelSet: Sendable, Hashable, CustomStringConvertible {
  /// The labels, sorted by the bytes of their keys.
  public let labels: [Label]

  /// No labels at all.
  public static let empty = LabelSet(sorted: [])

  /// Takes labels in any order; the same key twice is an error.
  public init(_ labels: [Label]) throws(LabelError) {
    let sorted = labels.sorted()
    for (first, second) in zip(sorted, sorted.dropFirst()) where first.key == second.key {
      throw LabelError(subject: "label key \(first.key.shown)", problem: "occurs twice")
    }
    self.init(sorted: sorted)
  }

  init(sorted labels: [Label]) { self.labels = labels }

  /// The value of a key, or nil.
  public subscript(key: String) -> String? { exactValue(of: key)?.text }

  func exactValue(of key: String) -> ExactText? {
    for label in labels where label.key == key { return label.exactValue }
    return nil
  }

  /// This set with the labels of another one laid over it.
  public func merging(_ other: LabelSet) -> LabelSet {
    let kept = labels.filter { other.exactValue(of: $0.key) == nil }
    return LabelSet(sorted: (kept + other.labels).sorted())
  }

  /// Bytes from which the set can be read back, so that no two sets share them: for every label in order the
  /// length (32 bits, big endian) and bytes of the key, then the same of the value.
  public var canonicalBytes: [UInt8] {
    var out: [UInt8] = []
    func append(_ text: String) {
      let count = UInt32(truncatingIfNeeded: text.utf8.count)
      for shift in [24, 16, 8, 0] as [UInt32] { out.append(UInt8(truncatingIfNeeded: count >> shift)) }
      out.append(contentsOf: text.utf8)
    }
    for label in labels {
      append(label.key)
      append(label.value)
    }
    return out
  }

  /// `k=v,k2=v2`, which `init(parsing:)` reads back.
  public var description: String { labels.map(\.description).joined(separator: ",") }
}
