// Does a source survive whatever is in the place of its engine, say what is wrong, and come back?
import Kernel
import Policy
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Workloads

@Suite struct ContainerFaultTests {
  static let id = ContainerReferenceTests.id
  static let place = CgroupPlace(cgroup: CgroupID(rawValue: 1), path: "/sp-none/docker-\(id).scope")
  static let inspected = #"{"Id":"\#(id)","Name":"/web","Config":{"Image":"web:1","Labels":{"app":"shop"}}}"#

  static func http(_ status: String, _ body: String) -> String {
    "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  /// An API with short patience.
  static func api(_ path: String, patience: Duration = .seconds(1)) -> DockerAPI {
    var socket = EngineSocket(path)
    socket.answerWithin = patience
    return DockerAPI(source: "docker", runtime: .docker, http: EngineHTTP(socket), remedy: "start it")
  }

  static func inspect(
    _ behaviour: EngineBehaviour, patience: Duration = .seconds(1)
  ) async throws -> ContainerFacts? {
    try await withShortDirectory { directory in
      let engine = try FaultyEngine(at: "\(directory)/s") { _ in behaviour }
      defer { engine.stop() }
      let reference = try #require(ContainerReference(path: place.path))
      return try await api(engine.path, patience: patience).inspect(reference)
    }
  }

  /// Faults and changes that a source told of.
  final class Told: Sendable {
    private let told = Mutex<[String]>([])
    func add(_ text: String) { told.withLock { $0.append(text) } }
    var all: [String] { told.withLock { $0 } }

    /// Waits until what was told satisfies a condition.
    func until(_ condition: ([String]) -> Bool) async throws {
      let end = Clock.monotonicNanoseconds() + 120_000_000_000
      while !condition(all) {
        guard Clock.monotonicNanoseconds() < end else {
          Issue.record("told only \(all)")
          throw KernelError("wait for", "what is told", .timedOut)
        }
        await EngineSocket.pause(.milliseconds(5))
      }
    }
  }

  @Test("A right answer is read, whole or in chunks")
  func rightAnswer() async throws {
    let facts = ContainerFacts(runtime: "docker", name: "web", image: "web:1", labels: ["app": "shop"])
    #expect(try await Self.inspect(.answer(Self.http("200 OK", Self.inspected))) == facts)
    let (half, rest) = (Self.inspected.prefix(50), Self.inspected.dropFirst(50))
    let chunked = [half, rest, ""].map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }.joined()
    #expect(
      try await Self.inspect(.answerAndStay("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)) == facts
    )
  }

  @Test("A container that is gone between event and question is no fault")
  func gone() async throws {
    #expect(try await Self.inspect(.answer(Self.http("404 Not Found", #"{"message":"No such container"}"#))) == nil)
  }

  @Test(
    "Whatever else answers is a fault that names the socket and what is wrong",
    arguments: [
      (EngineBehaviour.hang, "no answer within"), (.hangUp, "closed the connection"),
      (.answer("\u{0}\u{1}\u{2}garbage\r\n\r\n"), "not the expected answer"),
      (.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"), "not the expected answer"),
      (.answerAndStay("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"), "no answer within"),
      (.answer(http("200 OK", "<html>")), "not the JSON"), (.answer(http("200 OK", "")), "the text ends"),
      (.answer(http("200 OK", "{}")), "told of another"),
      (.answer(http("200 OK", inspected.replacing(id, with: ContainerReferenceTests.other))), "told of another"),
      (.answer(http("500 Oops", "sorry\u{1b}[31m")), "says 500: sorry"),
      (
        .flood("HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n", 32),
        "exceeds 8192 KiB"
      ),
      (.flood("HTTP/1.1 200 OK\r\nX: ", 65), "not the expected answer"),
    ])
  func faults(_ behaviour: EngineBehaviour, _ problem: String) async throws {
    do {
      // Megabytes take as long as a busy machine lets them.
      let facts = try await Self.inspect(
        behaviour, patience: problem.hasPrefix("no answer") ? .seconds(1) : .seconds(30))
      Issue.record("answered \(String(describing: facts))")
    } catch let fault as SourceFault {
      #expect(fault.source == "docker")
      #expect(fault.subject.hasSuffix("/s"))
      #expect(fault.problem.contains(problem), "\(fault)")
      #expect(fault.description.unicodeScalars.allSatisfy { $0.value >= 32 })
      #expect(fault.isPassing)
    }
  }

  @Test("A missing socket is a fault only for a container that is surely this engine's")
  func missing() async throws {
    let api = Self.api("/tmp/sp-no-such-socket")
    let sure = try #require(ContainerReference(path: Self.place.path))
    await #expect(throws: SourceFault.self) { try await api.inspect(sure) }
    let bare = try #require(ContainerReference(path: "/x/\(Self.id)"))
    #expect(try await api.inspect(bare) == nil)
    let long = Self.api("/tmp/" + String(repeating: "x", count: 200))
    await #expect(throws: SourceFault.self) { try await long.inspect(sure) }
  }

  @Test("A question ends at once when its task is cancelled")
  func cancelled() async throws {
    try await withShortDirectory { directory in
      let engine = try FaultyEngine(at: "\(directory)/s") { _ in .hang }
      defer { engine.stop() }
      var socket = EngineSocket(engine.path)
      socket.answerWithin = .seconds(60)
      let http = EngineHTTP(socket)
      let question = Task { () throws(EngineFailure) in try await http.get("/x") }
      await EngineSocket.pause(.milliseconds(50))
      question.cancel()
      let result = await question.result
      #expect(throws: EngineFailure.cancelled) { try result.get() }
    }
  }

  @Test("A source that follows events tells of every fault once, of its end, and that everything may have changed")
  func follows() async throws {
    try await withShortDirectory { directory in
      let told = Told()
      let api = Self.api("\(directory)/s")
      let following = Task {
        await api.follow {
          told.add("\($0)")
        } report: {
          told.add($0.map { "fault: \($0.problem)" } ?? "fine")
        } isInstalled: {
          true
        }
      }
      try await told.until { $0.count == 1 }
      #expect(told.all.first?.hasPrefix("fault: cannot connect") == true)

      let event = #"{"Type":"container","Action":"create","Actor":{"ID":"abc"}}"# + "\n"
      let stream = "HTTP/1.1 200 OK\r\n\r\n" + event + "garbage\n\n" + event.replacing("abc", with: "def")
      let engine = try FaultyEngine(at: "\(directory)/s") { _ in .answerAndStay(stream) }
      defer { engine.stop() }
      try await told.until { $0.count == 5 }
      #expect(told.all.dropFirst() == ["fine", "everything", #"container("abc")"#, #"container("def")"#])
      #expect(engine.requests.first?.hasPrefix("GET /events?filters=") == true)

      engine.behave { _ in .answer(Self.http("503 Service Unavailable", "")) }
      engine.hangUp()
      try await told.until { $0.last == "fault: says 503: Service Unavailable" }
      engine.behave { _ in .answerAndStay(stream) }
      try await told.until { $0.suffix(4) == ["fine", "everything", #"container("abc")"#, #"container("def")"#] }
      #expect(told.all.count { $0.hasPrefix("fault: says 503") } == 1)
      following.cancel()
      await following.value
    }
  }

  @Test("An endless line of events is a fault, and nobody's memory is filled with it")
  func endlessLine() async throws {
    try await withShortDirectory { directory in
      let engine = try FaultyEngine(at: "\(directory)/s") { _ in .flood("HTTP/1.1 200 OK\r\n\r\n", 120) }
      defer { engine.stop() }
      let http = EngineHTTP(EngineSocket(engine.path))
      await #expect(throws: EngineFailure.tooLarge(bytes: 8 << 20)) {
        try await http.lines("/events") {
        } line: { _ in
        }
      }
    }
  }

  @Test(
    "A runtime interface that hangs, hangs up or answers garbage is a fault",
    arguments: [
      (EngineBehaviour.hang, "no answer within"), (.hangUp, ""),
      (.answerAndStay("HTTP/1.1 400 Bad Request\r\n\r\n"), ""),
      (.flood("", 0xff), ""),
    ])
  func grpc(_ behaviour: EngineBehaviour, _ problem: String) async throws {
    try await withShortDirectory { directory in
      let engine = try FaultyEngine(at: "\(directory)/s") { _ in behaviour }
      defer { engine.stop() }
      var socket = EngineSocket(engine.path)
      socket.answerWithin = .milliseconds(300)
      let cri = ContainerRuntimeInterface(source: "cri", runtime: .containerd, socket: socket, remedy: "")
      let reference = try #require(ContainerReference(path: "/kubepods/cri-containerd-\(Self.id).scope"))
      do {
        let facts = try await cri.inspect(reference)
        Issue.record("answered \(String(describing: facts))")
      } catch let error as SourceFault {
        #expect(error.problem.contains(problem), "\(error)")
        #expect(error.subject == engine.path)
      }
    }
  }

  @Test("Protobuf of another kind, cut short or nested without end is a fault")
  func protobuf() {
    for bytes: [UInt8] in [
      [0x0a], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], [0xff], Array(repeating: 0x0b, count: 100_000),
    ] {
      #expect(throws: EngineFailure.self) { let _: ListContainersResponse = try decode(bytes) }
    }
  }
}
