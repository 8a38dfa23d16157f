// Reading the snapshot back: whatever is in that file is checked.

internal import FoundationEssentials
internal import JSON
internal import Kernel
internal import Policy
internal import SystemPackage

extension Snapshot {
  /// Reads the snapshot that an agent wrote; nil if there is none.
  package static func read(from path: String) throws(DatapathError) -> Snapshot? {
    var identities: [NumberedIdentity] = []
    let found = try read(from: path, needing: { _ in true }) { number, hash, labels in
      let labels = Dictionary(labels, uniquingKeysWith: { $1 })
      identities.append(NumberedIdentity(number: number, identity: hash, labels: labels))
    }
    guard var snapshot = found?.snapshot else { return nil }
    snapshot.identities = identities
    return snapshot
  }

  /// The same, but each identity whose number is needed is given to `identity` (its number, hash and labels), and none is
  /// kept; the others may be read later.
  ///
  /// There may be a hundred thousand, of which an agent that starts keeps its own form; decoding them with the rest took
  /// longer than everything else that it does before it enforces.
  static func read(
    from path: String, needing isNeeded: (UInt32) -> Bool,
    identity: (UInt32, String, [(key: String, value: String)]) -> Void
  ) throws(DatapathError) -> (snapshot: Snapshot, unread: UnreadNames)? {
    let bytes: [UInt8]
    do throws(KernelError) {
      // Never a FIFO or a device, which may have no end.
      bytes = try readRegularFile(path, limit: 1 << 30)
    } catch {
      if error.errno == .noSuchFileOrDirectory { return nil }
      throw DatapathError("read snapshot", path, underlying: error)
    }
    let remedy = "remove it; the agent writes a new one"
    let rest: [UInt8]
    var unread = UnreadNames(bytes)
    do throws(JSONFault) {
      rest = try parting(bytes, isNeeded, &unread, identity)
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
      return (snapshot, unread)
    } catch let error as DatapathError {
      throw error
    } catch {
      throw DatapathError("read snapshot", path, underlying: error, remedy: remedy)
    }
  }

  /// Reads the identities that are needed; returns the text of everything but identities.
  private static func parting(
    _ bytes: [UInt8], _ isNeeded: (UInt32) -> Bool, _ unread: inout UnreadNames,
    _ identity: (UInt32, String, [(key: String, value: String)]) -> Void
  ) throws(JSONFault) -> [UInt8] {
    var rest = JSONWriter()
    var reader = JSONReader(bytes)
    try rest.object { (rest) throws(JSONFault) in
      try reader.object { (reader, key) throws(JSONFault) in
        rest.key(key)
        if key == "identities" {
          rest.array(EmptyCollection<Never>()) { _, _ in }
          try reader.array { (reader) throws(JSONFault) in
            let place = try reader.leap()
            if let number = unread.number(of: place), !isNeeded(number) { return unread.append(at: place.lowerBound) }
            var again = JSONReader(bytes, at: place.lowerBound)
            let found = try Self.identity(&again)
            identity(found.number, found.hash, found.labels)
          }
        } else {
          rest.raw(try reader.raw())
        }
      }
    }
    try reader.end()
    return rest.take()
  }

  /// Reads an identity.
  static func identity(
    _ reader: inout JSONReader
  ) throws(JSONFault) -> (number: UInt32, hash: String, labels: [(key: String, value: String)]) {
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
    return (number, hash, labels)
  }
}
