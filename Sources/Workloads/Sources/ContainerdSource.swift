// Containers of containerd's own clients, ctr and nerdctl, whose cgroups are called NAMESPACE/NAME.
internal import Kernel
internal import SwiftProtobuf

/// Labels of containers that were made with containerd and without the container runtime interface.
///
/// Their cgroup is `/NAMESPACE/NAME`, a path like many others: it is theirs only if containerd's state directory has a
/// container of that name whose specification asks for this very cgroup. A container with a cgroup of its own choice
/// (`ctr run --cgroup`) is not found.
package struct ContainerdSource: LabelSource {
  private let tasks: String
  private let socket: EngineSocket

  /// Takes containerd's socket and its `state` directory.
  package init(socket: String = "/run/containerd/containerd.sock", state: String = "/run/containerd") {
    tasks = "\(state)/io.containerd.runtime.v2.task"
    self.socket = EngineSocket(socket)
  }

  /// `containerd`.
  package var name: String { "containerd" }
  /// It knows containers.
  package var describesProcesses: Bool { true }

  /// Whether the path may be a namespace and a name.
  package func claims(_ place: CgroupPlace) -> Bool { ContainerReference.containerd(path: place.path) != nil }

  /// The name, if the state directory confirms it.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let (_, _, facts) = try container(place) else { return nil }
    return facts.sourceLabels
  }

  /// The name, image and labels that containerd knows.
  package func ask(about place: CgroupPlace) async throws(SourceFault) -> SourceLabels? {
    guard let (namespace, name, found) = try container(place) else { return nil }
    var facts = found
    do {
      let connection = try await GRPCConnection.open(socket)
      defer { connection.close() }
      let answer = try await connection.call(
        "/containerd.services.containers.v1.Containers/Get", try encode(StatusRequest(id: name)),
        metadata: [("containerd-namespace", namespace)])
      let response: NativeContainerResponse = try decode(answer)
      guard let container = response.container, container.id == name else { return nil }
      facts.image = container.image
      facts.labels = container.labels
      return facts.sourceLabels
    } catch .refused(GRPCConnection.notFound, _) {
      return nil
    } catch {
      throw SourceFault(self.name, socket.path, "container \(namespace)/\(name): \(error)")
    }
  }

  private func container(
    _ place: CgroupPlace
  ) throws(SourceFault) -> (namespace: String, name: String, facts: ContainerFacts)? {
    guard let (namespace, name) = ContainerReference.containerd(path: place.path),
      let bundle = try TaskBundle.read("\(tasks)/\(namespace)/\(name)", source: self.name),
      bundle.cgroupsPath == place.path
    else { return nil }
    return (
      namespace, name,
      ContainerFacts(runtime: ContainerRuntime.containerd.rawValue, name: name, process: bundle.process)
    )
  }
}
