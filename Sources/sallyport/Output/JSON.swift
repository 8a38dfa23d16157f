// The one place that turns values into JSON or YAML and back.
internal import FoundationEssentials
internal import Yams

/// Documents of this program's own types.
enum Document {
  /// One line of JSON, keys sorted, without a newline.
  static func line(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(value))
  }

  /// Indented JSON, keys sorted.
  static func pretty(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }

  /// The same as YAML.
  static func yaml(_ value: some Encodable) throws -> String {
    let encoder = YAMLEncoder()
    encoder.options.sortKeys = true
    return try encoder.encode(value)
  }

  /// Reads JSON.
  static func read<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
    try JSONDecoder().decode(type, from: Data(bytes))
  }
}
