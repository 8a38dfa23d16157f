// What the numbers in the kernel stand for, kept beside them: a start needs no file to know its own rows.

internal import BPF
internal import Kernel
internal import Policy
internal import SystemPackage

/// A pinned hash that no program reads: the labels of every number that is in force, and a mark of the policy of each slot.
///
/// It is bound to a program, so that it can be found by that program when its pin is gone.
final class NameTable: Sendable {
  /// The name of its pin.
  static let pin = "sp_names"
  /// As many as there may be workloads.
  private static let capacity = 65_536

  /// Labels do not fit in one value: they are cut into parts of this size.
  private typealias Part = InlineArray<256, UInt8>
  private static let partSize = 256
  /// Before the labels: their hash, which tells a name that was written whole, and their length.
  private static let headSize = 12

  private struct Key: BitwiseCopyable {
    var number: UInt32
    var part: UInt32
  }

  private let map: BPFMap<Key, Part>

  /// Opens what is pinned, or makes and pins an empty one.
  init(_ pins: PinnedState) throws(BPFError) {
    let path = pins.map(Self.pin)
    if isThere(path) {
      map = try .pinned(path, type: .hash)
    } else {
      map = try Self.make()
      try map.pin(at: path)
    }
  }

  private static func make() throws(BPFError) -> BPFMap<Key, Part> {
    // BPF_F_NO_PREALLOC: it is nearly empty on most hosts.
    try .create(.hash, name: pin, maxEntries: capacity, flags: 1)
  }

  /// Its descriptor, for whoever pins or binds it.
  func withDescriptor<T, E: Error>(_ body: (borrowing OwnedDescriptor) throws(E) -> T) throws(E) -> T {
    try body(map.descriptor)
  }

  /// Names numbers; what they stood for before is forgotten.
  ///
  /// When it is full, the names of all numbers that `isUsed` denies go first.
  func write(_ names: [(number: IdentityNumber, labels: LabelSet)], isUsed: (IdentityNumber) -> Bool) throws(BPFError) {
    do throws(BPFError) {
      try write(names)
    } catch {
      guard error.errno == .argListTooLong else { throw error }
      try map.removeAll(map.keys().filter { $0.number >= 16 && !isUsed(IdentityNumber(rawValue: $0.number)) })
      try write(names)
    }
  }

  private func write(_ names: [(number: IdentityNumber, labels: LabelSet)]) throws(BPFError) {
    var entries: [(Key, Part)] = []
    for name in names {
      let bytes = name.labels.canonicalBytes
      let text = Self.bytes(name.labels.identity.rawValue, 8) + Self.bytes(UInt64(bytes.count), 4) + bytes
      for (index, start) in stride(from: 0, to: text.count, by: Self.partSize).enumerated() {
        let key = Key(number: name.number.rawValue, part: UInt32(index))
        entries.append((key, Part { start + $0 < text.count ? text[start + $0] : 0 }))
      }
    }
    try map.setAll(entries)
  }

  /// The names of all numbers; those that were not written whole are left out.
  func read() throws(BPFError) -> [IdentityNumber: LabelSet] {
    var parts: [UInt32: [UInt32: Part]] = [:]
    for (key, part) in try map.entries() where key.number >= IdentityNumber.firstAllotted.rawValue {
      parts[key.number, default: [:]][key.part] = part
    }
    var names: [IdentityNumber: LabelSet] = [:]
    for (number, parts) in parts {
      guard let head = parts[0] else { continue }
      let length = Int(Self.number(head, 8..<12))
      guard length <= Self.partSize * parts.count - Self.headSize else { continue }
      var bytes: [UInt8] = []
      for index in 0..<UInt32((Self.headSize + length + Self.partSize - 1) / Self.partSize) {
        guard let part = parts[index] else { break }
        for offset in 0..<Self.partSize { bytes.append(part[offset]) }
      }
      guard bytes.count >= Self.headSize + length,
        let labels = LabelSet(canonicalBytes: bytes[Self.headSize..<Self.headSize + length]),
        labels.identity.rawValue == Self.number(head, 0..<8)
      else { continue }
      names[IdentityNumber(rawValue: number)] = labels
    }
    return names
  }

  /// Notes which documents a slot is compiled from; before the slot is put in force.
  func mark(_ slot: Slot, _ documents: UInt64) throws(BPFError) {
    let bytes = Self.bytes(documents, 8)
    try map.set(Part { $0 < 8 ? bytes[$0] : 0 }, for: Key(number: 0, part: UInt32(slot.rawValue)))
  }

  /// The mark of a slot; nil if there is none.
  func mark(of slot: Slot) throws(BPFError) -> UInt64? {
    try map.value(for: Key(number: 0, part: UInt32(slot.rawValue))).map { Self.number($0, 0..<8) }
  }

  private static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
  }

  private static func number(_ part: Part, _ range: Range<Int>) -> UInt64 {
    range.reduce(0) { $0 << 8 | UInt64(part[$1]) }
  }
}

extension LabelSet {
  /// Reads canonical bytes back; nil if they are none.
  init?(canonicalBytes bytes: some Collection<UInt8>) {
    let bytes = Array(bytes)
    var labels: [Label] = []
    var place = 0
    func text() -> String? {
      guard place + 4 <= bytes.count else { return nil }
      let count = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
      guard place + 4 + count <= bytes.count else { return nil }
      defer { place += 4 + count }
      return String(validating: bytes[place + 4..<place + 4 + count], as: UTF8.self)
    }
    while place < bytes.count {
      guard let key = text(), let value = text(), let label = try? Label(key, value) else { return nil }
      labels.append(label)
    }
    guard let set = try? LabelSet(labels) else { return nil }
    self = set
  }
}

extension [PolicySource] {
  /// A mark of these documents: others have another one, but by a chance of one in 2^64 (FNV-1a).
  var mark: UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for source in self {
      for byte in [UInt8](source.name.utf8) + [0] + source.bytes + [0] {
        hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
      }
    }
    return hash
  }
}
