// The identities of a snapshot that nobody on this host has now: where they stand in the file, until there is time.

internal import JSON

/// Identities that were found in a snapshot and not read.
///
/// No verdict needs them: they name the numbers of workloads that are gone, for records and conversations that may still
/// come. Reading a hundred thousand takes longer than everything else that an agent does before it enforces.
struct UnreadNames: Sendable {
  private let bytes: [UInt8]
  private var places: ArraySlice<Int> = []

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// How many there are.
  var count: Int { places.count }

  /// Remembers where one begins.
  mutating func append(at place: Int) { places.append(place) }

  /// The number of an identity that stands there, if it is the last member; nil if that is another one.
  ///
  /// It is told by the end, without reading what comes before.
  func number(of identity: Range<Int>) -> UInt32? {
    var place = identity.upperBound - 2
    var number = 0
    var scale = 1
    while place > identity.lowerBound, scale < 10_000_000_000, (48...57).contains(bytes[place]) {
      number += Int(bytes[place] - 48) * scale
      scale *= 10
      place -= 1
    }
    let key = Self.numberKey
    guard scale > 1, place - key.count >= identity.lowerBound,
      bytes[(place - key.count + 1)...place].elementsEqual(key)
    else { return nil }
    return UInt32(exactly: number)
  }

  // The comma too: within a string there would be a backslash before the quote.
  private static let numberKey = Array(",\"number\":".utf8)

  /// Reads the next ones, at most so many, and gives the labels of each to `identity`; what cannot be read is left out.
  mutating func take(_ limit: Int, _ identity: (UInt32, [(key: String, value: String)]) -> Void) {
    for place in places.prefix(limit) {
      var reader = JSONReader(bytes, at: place)
      if let found = try? Snapshot.identity(&reader) { identity(found.number, found.labels) }
    }
    places = places.dropFirst(limit)
  }
}
