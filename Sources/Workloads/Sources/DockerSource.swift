// Containers of Docker Engine: its own files at once, its API for the rest.
internal import JSON
internal import Kernel

/// Labels of Docker's containers.
///
/// Docker writes `containers/ID/config.v2.json` before it starts a container, so the labels are known when the cgroup is
/// made, and also when the engine is down. Images are spelled as `docker run` was given them.
package struct DockerSource: LabelSource {
  private let dataRoot: String
  private let api: DockerAPI
  private let witness = ContainerWitness()

  /// Takes the engine's socket and its `data-root`.
  package init(socket: String = "/run/docker.sock", dataRoot: String = "/var/lib/docker") {
    self.dataRoot = dataRoot
    api = DockerAPI(
      source: "docker", runtime: .docker, http: EngineHTTP(EngineSocket(socket)),
      remedy: "start Docker; what its files say holds meanwhile")
  }

  /// `docker`.
  package var name: String { "docker" }
  /// It knows containers.
  package var describesProcesses: Bool { true }

  /// Whether it is a container's own cgroup, of Docker or of nobody that the path tells.
  package func claims(_ place: CgroupPlace) -> Bool { reference(place) != nil }

  private func reference(_ place: CgroupPlace) -> ContainerReference? {
    guard let reference = ContainerReference(path: place.path), reference.isOwnCgroup, reference.user == nil,
      reference.runtime == .docker || reference.runtime == nil
    else { return nil }
    return reference
  }

  /// What `config.v2.json` says.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let reference = reference(place) else { return nil }
    let path = "\(dataRoot)/containers/\(reference.id)/config.v2.json"
    guard let json = try readFile(path, source: name) else { return nil }
    do {
      var (facts, id) = try DockerAPI.container(json, runtime: .docker)
      guard id == reference.id else { throw SourceFault(name, path, "describes another container") }
      // Written before the process was there, and after a crash of the host long after it was.
      facts.process = 0
      return try labels(facts, reference)
    } catch let fault as JSONFault {
      throw SourceFault(name, path, "\(fault)")
    } catch let fault as SourceFault {
      throw fault
    } catch {
      throw SourceFault(name, path, "\(error)")
    }
  }

  /// What the engine says.
  package func ask(about place: CgroupPlace) async throws(SourceFault) -> SourceLabels? {
    guard let reference = reference(place), let facts = try await api.inspect(reference) else { return nil }
    return try labels(facts, reference)
  }

  /// Follows `/events`.
  package func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async {
    let dataRoot = dataRoot
    await api.follow(changed, report: report) { isThere(dataRoot) }
  }

  private func labels(
    _ facts: ContainerFacts, _ reference: ContainerReference
  ) throws(SourceFault) -> SourceLabels {
    var facts = facts
    // The kubelet's adapter for Docker puts the pod into labels; only in a pod's cgroup are they its word.
    if let uid = reference.podUID, facts.labels["io.kubernetes.pod.uid"] == uid {
      facts.pod = PodFacts(
        namespace: facts.labels["io.kubernetes.pod.namespace"] ?? "",
        name: facts.labels["io.kubernetes.pod.name"] ?? "",
        container: facts.labels["io.kubernetes.container.name"] ?? "")
    }
    return try witness.labels(facts, of: reference, source: name)
  }
}
