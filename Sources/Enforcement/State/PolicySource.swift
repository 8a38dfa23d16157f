// A policy document as bytes with a name: what is read from a directory, applied, and shown again.

/// One file of policy documents.
package struct PolicySource: Sendable, Equatable, Codable {
  /// The path it was read from, for messages.
  package var name: String
  /// The text as it was read.
  package var bytes: [UInt8]

  package init(name: String, bytes: [UInt8]) {
    self.name = name
    self.bytes = bytes
  }

  private enum Key: String, CodingKey { case name, text }

  /// Reads what `encode(to:)` wrote.
  package init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    name = try values.decode(String.self, forKey: .name)
    bytes = try Array(values.decode(String.self, forKey: .text).utf8)
  }

  /// Bytes become text: whatever was applied is UTF-8, or the parser would have refused it.
  package func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: Key.self)
    try values.encode(name, forKey: .name)
    try values.encode(String(decoding: bytes, as: UTF8.self), forKey: .text)
  }
}
