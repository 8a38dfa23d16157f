// Pods and their containers, from the runtime that the kubelet uses: containerd or CRI-O.
internal import Kernel

/// Labels of containers in pods.
///
/// containerd leaves every container's OCI specification in its state directory before the cgroup is made: the pod's
/// namespace and name and the container's name and image are known at once. The pod's labels come from the runtime's
/// socket. The image is spelled as the runtime names it, which is by tag if the image has one.
package struct CRISource: LabelSource {
  /// `containerd` or `cri-o`.
  package let name: String
  /// It knows containers.
  package var describesProcesses: Bool { true }
  private let stateDirectory: String?
  private let runtime: ContainerRuntime
  private let cri: ContainerRuntimeInterface
  private let witness = ContainerWitness()

  private init(_ name: String, _ runtime: ContainerRuntime, socket: String, stateDirectory: String?) {
    self.name = name
    self.runtime = runtime
    self.stateDirectory = stateDirectory
    cri = ContainerRuntimeInterface(
      source: name, runtime: runtime, socket: EngineSocket(socket),
      remedy: "start \(name); what is known of containers holds meanwhile")
  }

  /// Pods that containerd runs; takes its socket and its `state` directory.
  package static func containerd(
    socket: String = "/run/containerd/containerd.sock", state: String = "/run/containerd"
  ) -> CRISource {
    CRISource(
      "cri-containerd", .containerd, socket: socket, stateDirectory: "\(state)/io.containerd.runtime.v2.task/k8s.io")
  }

  /// Pods that CRI-O runs; takes its socket.
  package static func crio(socket: String = "/run/crio/crio.sock") -> CRISource {
    CRISource("cri-o", .crio, socket: socket, stateDirectory: nil)
  }

  /// Whether it is a container's own cgroup, of this runtime or of nobody that the path tells.
  package func claims(_ place: CgroupPlace) -> Bool { reference(place) != nil }

  private func reference(_ place: CgroupPlace) -> ContainerReference? {
    guard let reference = ContainerReference(path: place.path), reference.isOwnCgroup, reference.user == nil,
      reference.runtime == runtime || reference.runtime == nil && reference.podUID != nil
    else { return nil }
    return reference
  }

  /// What containerd's copy of the OCI specification says.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let stateDirectory, let reference = reference(place),
      let bundle = try TaskBundle.read("\(stateDirectory)/\(reference.id)", source: name),
      var facts = bundle.podFacts
    else { return nil }
    facts.process = bundle.process
    return try witness.labels(facts, of: reference, source: name)
  }

  /// What the runtime says.
  package func ask(about place: CgroupPlace) async throws(SourceFault) -> SourceLabels? {
    guard let reference = reference(place), let facts = try await cri.inspect(reference) else { return nil }
    return try witness.labels(facts, of: reference, source: name)
  }

  /// Waits for restarts: the interface has no events before containerd 1.7.
  package func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async {
    // A Docker host has a containerd too: only pods make the interface worth a word.
    let directory = stateDirectory ?? "/run/crio"
    await cri.follow(changed, report: report) { isThere(directory) }
  }
}
