// The known name that somebody probably meant.

/// Finds near misses of names.
public enum Spelling {
  /// The known name with the fewest edits, if they are few for its length; the first in order among equals.
  public static func nearest(to name: String, in known: some Collection<String>) -> String? {
    let limit = max(1, min(name.utf8.count, 12) / 3)
    let ranked = known.map { (distance(name, $0), $0) }.filter { $0.0 <= limit }
    return ranked.min { ($0.0, $0.1) < ($1.0, $1.1) }?.1
  }

  /// Insertions, deletions and replacements of bytes, without regard to case; names are cut at 64 bytes.
  private static func distance(_ one: String, _ other: String) -> Int {
    let one = Array(one.lowercased().utf8.prefix(64))
    let other = Array(other.lowercased().utf8.prefix(64))
    var row = Array(0...other.count)
    for (index, byte) in one.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for column in other.indices {
        let replaced = diagonal + (byte == other[column] ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(replaced, min(diagonal, row[column]) + 1)
      }
    }
    return row[other.count]
  }
}
