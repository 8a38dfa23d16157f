// The Docker Engine API as far as labels need it; Podman answers the same calls.
internal import JSON

/// Asks one engine about containers and follows what it does with them.
struct DockerAPI: Sendable {
  /// The source on whose behalf this asks.
  var source: String
  /// The engine behind the socket.
  var runtime: ContainerRuntime
  var http: EngineHTTP
  /// What to do when nobody listens.
  var remedy: String

  /// What the engine knows of a container; nil when it has no such container.
  func inspect(_ reference: ContainerReference) async throws(SourceFault) -> ContainerFacts? {
    // The id is 64 hexadecimal digits: nothing in it could be taken for more of a path.
    let id = reference.id
    let answer: [UInt8]?
    do {
      answer = try await http.get("/containers/\(id)/json")
    } catch .unreachable(let reason) {
      // The path does not say whose container it is, and this engine is not there: probably another's.
      guard reference.runtime == runtime else { return nil }
      throw SourceFault(source, http.socket.path, "cannot connect: \(reason)", remedy: remedy)
    } catch {
      throw SourceFault(source, http.socket.path, "container \(id.prefix(12)): \(error)")
    }
    guard let answer else { return nil }
    do {
      let (facts, named) = try Self.container(answer, runtime: runtime)
      guard named == id else {
        throw SourceFault(source, http.socket.path, "asked for container \(id.prefix(12)) and was told of another")
      }
      return facts
    } catch let fault as JSONFault {
      throw SourceFault(source, http.socket.path, "container \(id.prefix(12)): \(fault)")
    } catch let fault as SourceFault {
      throw fault
    } catch {
      throw SourceFault(source, http.socket.path, "\(error)")
    }
  }

  /// Reads the answer of `GET /containers/ID/json`, or Docker's own file of a container, which has the same members.
  static func container(
    _ json: [UInt8], runtime: ContainerRuntime
  ) throws(JSONFault) -> (facts: ContainerFacts, id: String?) {
    var facts = ContainerFacts(runtime: runtime.rawValue)
    var id: String?
    var running = false
    var process = 0
    var reader = JSONReader(json)
    try reader.object { reader, key throws(JSONFault) in
      switch key {
      // `Id` in the API and `ID` in the file.
      case "Id", "ID": id = try reader.string()
      case "Name":
        let name = try reader.string() ?? ""
        facts.name = name.hasPrefix("/") ? String(name.dropFirst()) : name
      case "State":
        try reader.object { reader, key throws(JSONFault) in
          if key == "Pid" { process = try reader.integer() ?? 0 }
          if key == "Running" { running = try reader.boolean() }
        }
      case "Config":
        try reader.object { reader, key throws(JSONFault) in
          if key == "Image" { facts.image = try reader.string() ?? "" }
          if key == "Labels" { facts.labels = try reader.strings() }
        }
      default: break
      }
    }
    facts.process = running ? Int32(truncatingIfNeeded: process) : 0
    return (facts, id)
  }

  /// Tells which containers were made, started or renamed, and of every reconnection.
  func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void,
    isInstalled: @escaping @Sendable () -> Bool
  ) async {
    let reconnection = Reconnection(
      source: source, subject: http.socket.path, remedy: remedy, isExpected: isInstalled)
    // {"type":["container"]}
    let target = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D"
    await reconnection.run(report: report) { opened throws(EngineFailure) in
      try await http.lines(target) {
        opened()
        // What happened while nobody listened is not known.
        changed(.everything)
      } line: { line in
        if let id = Self.changed(line) { changed(.container(id)) }
      }
    }
  }

  /// The container whose labels an event may have changed; nil for other events and for what is no event.
  static func changed(_ line: [UInt8]) -> String? {
    var (action, id) = ("", "")
    var reader = JSONReader(line)
    try? reader.object { reader, key throws(JSONFault) in
      switch key {
      case "Action": action = try reader.string() ?? ""
      case "Actor":
        try reader.object { reader, key throws(JSONFault) in
          if key == "ID" { id = try reader.string() ?? "" }
        }
      default: break
      }
    }
    return ["create", "start", "init", "rename", "update"].contains(action) && !id.isEmpty ? id : nil
  }
}
