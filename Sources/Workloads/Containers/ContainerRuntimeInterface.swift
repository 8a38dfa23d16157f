// The container runtime interface (CRI) as far as labels need it: what containerd and CRI-O tell the kubelet.
internal import JSON
internal import SwiftProtobuf

/// Asks one runtime about containers and pods.
struct ContainerRuntimeInterface: Sendable {
  var source: String
  /// What `container.runtime` says.
  var runtime: ContainerRuntime
  var socket: EngineSocket
  var remedy: String

  /// What the runtime knows of a container or of a pod's sandbox; nil when it knows neither.
  func inspect(_ reference: ContainerReference) async throws(SourceFault) -> ContainerFacts? {
    do {
      let connection = try await GRPCConnection.open(socket)
      defer { connection.close() }
      let calls = Calls(connection)
      return try await container(reference.id, calls)
    } catch .unreachable(let reason) {
      guard reference.runtime == runtime else { return nil }
      throw SourceFault(source, socket.path, "cannot connect: \(reason)", remedy: remedy)
    } catch .refused(GRPCConnection.unimplemented, _) where reference.runtime != runtime {
      // A containerd that Docker brought along offers no such service, and it is Docker's container.
      return nil
    } catch {
      throw SourceFault(source, socket.path, "container \(reference.id.prefix(12)): \(error)")
    }
  }

  private func container(_ id: String, _ calls: Calls) async throws(EngineFailure) -> ContainerFacts? {
    var list = ListContainersRequest()
    list.filter = StatusRequest(id: id)
    let listed = try await calls.make("ListContainers", list, ListContainersResponse.self)?.containers ?? []
    guard let entry = listed.first(where: { $0.id == id }) else { return try await sandbox(id, calls) }
    let request = StatusRequest(id: id, verbose: true)
    // It may have gone since it was listed.
    guard let answer = try await calls.make("ContainerStatus", request, ContainerStatusResponse.self),
      let status = answer.status, status.id == id
    else { return nil }
    var facts = ContainerFacts(
      runtime: runtime.rawValue, image: status.image?.image ?? "", labels: status.labels, process: process(answer.info))
    guard
      let pod = try await calls.make(
        "PodSandboxStatus", StatusRequest(id: entry.sandbox), SandboxStatusResponse.self)?.status
    else { return facts }
    facts.pod = PodFacts(
      namespace: pod.metadata?.namespace ?? "", name: pod.metadata?.name ?? "", labels: pod.labels,
      container: status.metadata?.name ?? "")
    return facts
  }

  /// The sandbox holds the pod's network namespace; its one process waits for ever.
  private func sandbox(_ id: String, _ calls: Calls) async throws(EngineFailure) -> ContainerFacts? {
    let request = StatusRequest(id: id, verbose: true)
    guard let answer = try await calls.make("PodSandboxStatus", request, SandboxStatusResponse.self),
      let pod = answer.status, pod.id == id
    else { return nil }
    return ContainerFacts(
      runtime: runtime.rawValue,
      pod: PodFacts(
        namespace: pod.metadata?.namespace ?? "", name: pod.metadata?.name ?? "", labels: pod.labels),
      process: process(answer.info))
  }

  /// The process id in a verbose answer: containerd and CRI-O both put JSON under `info`.
  private func process(_ info: [String: String]) -> Int32 {
    var process = 0
    var reader = JSONReader(Array((info["info"] ?? "").utf8))
    // A runtime that writes something else there leaves one check less, not no answer.
    try? reader.object { reader, key throws(JSONFault) in
      if key == "pid" { process = try reader.integer() ?? 0 }
    }
    return Int32(truncatingIfNeeded: process)
  }

  /// Stays connected: the interface of these versions has no events, but a restart can be seen.
  func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void,
    isInstalled: @escaping @Sendable () -> Bool
  ) async {
    let reconnection = Reconnection(source: source, subject: socket.path, remedy: remedy, isExpected: isInstalled)
    await reconnection.run(report: report) { opened throws(EngineFailure) in
      let connection = try await GRPCConnection.open(socket)
      defer { connection.close() }
      let calls = Calls(connection)
      // A listener that does not answer is not there.
      _ = try await calls.make("Version", StatusRequest(), CRIImage.self)
      opened()
      changed(.everything)
      try await connection.untilClosed()
    }
  }
}

extension ContainerRuntimeInterface {
  /// Calls on one connection, in the version that the server speaks.
  private final class Calls {
    private let connection: GRPCConnection
    /// `v1` since Kubernetes 1.23 (containerd 1.6); before that `v1alpha2`, with the same fields.
    private var version = "v1"

    init(_ connection: GRPCConnection) { self.connection = connection }

    /// Makes a call; nil for `NOT_FOUND`.
    func make<Answer: EngineMessage>(
      _ method: String, _ request: some EngineMessage, _: Answer.Type
    ) async throws(EngineFailure) -> Answer? {
      do {
        return try await once(method, request)
      } catch .refused(GRPCConnection.unimplemented, _) where version == "v1" {
        version = "v1alpha2"
        return try await once(method, request)
      }
    }

    private func once<Answer: EngineMessage>(
      _ method: String, _ request: some EngineMessage
    ) async throws(EngineFailure) -> Answer? {
      do {
        let bytes: [UInt8] = try encode(request)
        let answer = try await connection.call("/runtime.\(version).RuntimeService/\(method)", bytes)
        return try decode(answer)
      } catch .refused(GRPCConnection.notFound, _) {
        return nil
      }
    }
  }
}
