// Reading the snapshot back: whatever is in that file is checked.

internal import FoundationEssentials
internal import Kernel
internal import Policy
internal import SystemPackage

extension Snapshot {
  /// Reads the snapshot that an agent wrote; nil if there is none.
  public static func read(from path: String) throws(DatapathError) -> Snapshot? {
    var identities: [NumberedIdentity] = []
    var snapshot = try read(from: path) { number, hash, labels in
      let labels = Dictionary(labels, uniquingKeysWith: { $1 })
      identities.append(NumberedIdentity(number: number, identity: hash, labels: labels))
    }
    snapshot?.identities = identities
    return snapshot
  }

  /// The same, but each identity is given to `identity` (its number, hash and labels) and none is kept.
  ///
  /// There may be a hundred thousand, of which an agent that starts keeps its own form; decoding them with the rest took
  /// longer than everything else that it does before it enforces.
  static func read(
    from path: String, identity: (UInt32, String, [(key: String, value: String)]) -> Void
  ) throws(DatapathError) -> Snapshot? {
    let bytes: [UInt8]
    do throws(KernelError) {
      bytes = try readKernelBytes(FilePath(path))
    } catch {
      if error.errno == .noSuchFileOrDirectory { return nil }
      throw DatapathError("read snapshot", path, underlying: error)
    }
    let remedy = "remove it; the agent writes a new one"
    let rest: [UInt8]
    do throws(JSONFault) {
      rest = try parting(bytes, identity)
    } catch {
      throw DatapathError("read snapshot", path, underlying: error, remedy: remedy)
    }
    do {
      let snapshot = try JSONDecoder().decode(Snapshot.self, from: Data(rest))
      guard snapshot.version == 1 else {
        throw DatapathError(
          "read snapshot", path, reason: "it has version \(snapshot.version), this program reads version 1",
          remedy: "use the program that wrote it")
      }
      return snapshot
    } catch let error as DatapathError {
      throw error
    } catch {
      throw DatapathError("read snapshot", path, underlying: error, remedy: remedy)
    }
  }

  /// Reads the identities; returns the text of everything else.
  private static func parting(
    _ bytes: [UInt8], _ identity: (UInt32, String, [(key: String, value: String)]) -> Void
  ) throws(JSONFault) -> [UInt8] {
    var rest = JSONText()
    var reader = JSONReader(bytes)
    try rest.object { (rest) throws(JSONFault) in
      try reader.object { (reader, key) throws(JSONFault) in
        rest.key(key)
        if key == "identities" {
          rest.array(EmptyCollection<Never>()) { _, _ in }
          try reader.array { (reader) throws(JSONFault) in try one(&reader, identity) }
        } else {
          rest.raw(try reader.raw())
        }
      }
    }
    try reader.end()
    return rest.take()
  }

  private static func one(
    _ reader: inout JSONReader, _ identity: (UInt32, String, [(key: String, value: String)]) -> Void
  ) throws(JSONFault) {
    var number: Int?
    var hash: String?
    var labels: [(key: String, value: String)] = []
    try reader.object { (reader, key) throws(JSONFault) in
      switch key {
      case "number": number = try reader.integer()
      case "identity": hash = try reader.string()
      case "labels":
        try reader.object { (reader, key) throws(JSONFault) in
          if let value = try reader.string() { labels.append((key, value)) }
        }
      default: break
      }
    }
    guard let number = number.flatMap({ UInt32(exactly: $0) }), let hash else {
      throw reader.fault("an identity without number or hash")
    }
    identity(number, hash, labels)
  }
}
