// Podman's containers: name and image from its storage at once, labels from its API.
internal import Glibc
internal import JSON
internal import Kernel
internal import Synchronization

/// Labels of the containers that Podman runs as root.
///
/// Podman has no daemon: its API is answered by a service that systemd starts when somebody connects to `podman.sock`.
/// Without that socket only what is in the storage's `containers.json` is known, name and image: the labels are in a
/// database that only Podman may open. Images are spelled with their registry, as Podman resolved them. Containers that a
/// user runs belong to that user's slice: nobody but the user vouches for what they are.
package struct PodmanSource: LabelSource {
  private let storage: PodmanStorage
  private let storageRoot: String
  private let api: DockerAPI
  private let witness = ContainerWitness()

  /// Takes the API's socket and the storage's `graphroot` (containers-storage.conf(5)).
  package init(
    socket: String = "/run/podman/podman.sock", storageRoot: String = "/var/lib/containers/storage"
  ) {
    self.storageRoot = storageRoot
    storage = PodmanStorage(root: storageRoot)
    api = DockerAPI(
      source: "podman", runtime: .podman, http: EngineHTTP(EngineSocket(socket)),
      remedy: "systemctl enable --now podman.socket; without it names and images are known, labels are not")
  }

  /// `podman`.
  package var name: String { "podman" }
  /// It knows containers.
  package var describesProcesses: Bool { true }

  /// Whether it is a Podman container's own cgroup.
  package func claims(_ place: CgroupPlace) -> Bool { reference(place) != nil }

  private func reference(_ place: CgroupPlace) -> ContainerReference? {
    guard let reference = ContainerReference(path: place.path), reference.isOwnCgroup, reference.user == nil,
      reference.runtime == .podman
    else { return nil }
    return reference
  }

  /// What the storage says.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let reference = reference(place), let facts = try storage.container(reference.id) else { return nil }
    return try witness.labels(facts, of: reference, source: name)
  }

  /// What the API says.
  package func ask(about place: CgroupPlace) async throws(SourceFault) -> SourceLabels? {
    guard let reference = reference(place), let facts = try await api.inspect(reference) else { return nil }
    return try witness.labels(facts, of: reference, source: name)
  }

  /// Follows `/events`, which also keeps the service from ending itself when idle.
  package func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async {
    let storageRoot = storageRoot
    await api.follow(changed, report: report) { isThere(storageRoot) }
  }
}

/// The lists of containers below a storage root, read again only when they have changed.
final class PodmanStorage: Sendable {
  private let files: [String]
  private let known = Mutex<[String: List]>([:])

  /// One list as it was when its file had this stamp.
  private struct List {
    var stamp: [Int]
    var containers: [String: ContainerFacts]
  }

  init(root: String) {
    // One folder for each storage driver; `volatile` is for containers that do not outlive a boot.
    files = ["overlay", "vfs", "btrfs", "zfs"].flatMap { driver in
      ["containers.json", "volatile-containers.json"].map { "\(root)/\(driver)-containers/\($0)" }
    }
  }

  /// Name and image of a container; nil if the storage does not have it.
  func container(_ id: String) throws(SourceFault) -> ContainerFacts? {
    for file in files {
      guard let stamp = Self.stamp(file) else { continue }
      if let list = known.withLock({ $0[file] }), list.stamp == stamp {
        if let found = list.containers[id] { return found }
        continue
      }
      guard let json = try readFile(file, source: "podman") else { continue }
      do {
        let list = List(stamp: stamp, containers: try Self.containers(json))
        known.withLock { $0[file] = list }
        if let found = list.containers[id] { return found }
      } catch {
        throw SourceFault("podman", file, "\(error)")
      }
    }
    return nil
  }

  /// Size, inode and time of a file: Podman replaces it by rename.
  private static func stamp(_ path: String) -> [Int]? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return [Int(status.st_size), Int(truncatingIfNeeded: status.st_ino), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
  }

  /// Reads `containers.json`: an array in which `metadata` is JSON within a string.
  static func containers(_ json: [UInt8]) throws(JSONFault) -> [String: ContainerFacts] {
    var containers: [String: ContainerFacts] = [:]
    var reader = JSONReader(json)
    try reader.array { reader throws(JSONFault) in
      var (id, metadata) = ("", "")
      try reader.object { reader, key throws(JSONFault) in
        switch key {
        case "id": id = try reader.string() ?? ""
        case "metadata": metadata = try reader.string() ?? ""
        default: break
        }
      }
      guard !id.isEmpty, !metadata.isEmpty else { return }
      var facts = ContainerFacts(runtime: ContainerRuntime.podman.rawValue)
      var inner = JSONReader(Array(metadata.utf8))
      try inner.object { reader, key throws(JSONFault) in
        switch key {
        case "name": facts.name = try reader.string() ?? ""
        case "image-name": facts.image = try reader.string() ?? ""
        default: break
        }
      }
      containers[id] = facts
    }
    return containers
  }
}
