// Which sources of labels are asked, and where they are on this host.

internal import Kernel

/// The standard sources, and the places where distributions put what they read.
package struct SourceSettings: Sendable, Equatable {
  /// A standard source, by the name that people know it by.
  package enum Name: String, Sendable, CaseIterable {
    case systemd, docker, podman, containerd
    case criContainerd = "cri-containerd"
    case criO = "cri-o"
    case lxc
  }

  /// A file, directory or socket that a source reads.
  package enum Place: String, Sendable, CaseIterable {
    case dockerSocket = "docker-socket"
    case dockerRoot = "docker-root"
    case podmanSocket = "podman-socket"
    case podmanRoot = "podman-root"
    case containerdSocket = "containerd-socket"
    case containerdState = "containerd-state"
    case crioSocket = "crio-socket"
    case lxcRoot = "lxc-root"

    /// Which sources read it.
    package var sources: Set<Name> {
      switch self {
      case .dockerSocket, .dockerRoot: [.docker]
      case .podmanSocket, .podmanRoot: [.podman]
      case .containerdSocket, .containerdState: [.containerd, .criContainerd]
      case .crioSocket: [.criO]
      case .lxcRoot: [.lxc]
      }
    }

    package var isSocket: Bool { rawValue.hasSuffix("-socket") }

    /// Where it usually is.
    package var usual: String {
      switch self {
      case .dockerSocket: "/run/docker.sock"
      case .dockerRoot: "/var/lib/docker"
      case .podmanSocket: "/run/podman/podman.sock"
      case .podmanRoot: "/var/lib/containers/storage"
      case .containerdSocket: "/run/containerd/containerd.sock"
      case .containerdState: "/run/containerd"
      case .crioSocket: "/run/crio/crio.sock"
      case .lxcRoot: "/var/lib/lxc"
      }
    }
  }

  /// The sources that are asked.
  package var enabled: Set<Name> = Set(Name.allCases)
  /// Places that are not the usual ones: absolute paths.
  package var places: [Place: String] = [:]
  /// A file of labels by cgroup path; nil = none.
  package var labels: String?

  /// All sources, in their usual places.
  package init() {}

  /// Where something is.
  package subscript(place: Place) -> String { places[place] ?? place.usual }

  /// What was named for a source and is not there; nil if all of it is, or nothing was named.
  package func missing(for source: String) -> SourceFault? {
    guard let name = Name(rawValue: source), enabled.contains(name) else { return nil }
    for place in Place.allCases where place.sources.contains(name) {
      if let path = places[place], !isThere(path) {
        return SourceFault(source, path, place.isSocket ? "no such socket" : "no such directory")
      }
    }
    return nil
  }

  /// The sources themselves.
  ///
  /// - Throws: when the file of labels is wrong: nothing it said before could hold instead.
  package func sources() throws(SourceFault) -> [any LabelSource] {
    var files: [any LabelSource] = []
    if let labels {
      // One that goes later labels nothing; one that never was is a mistake.
      guard isThere(labels) else {
        throw SourceFault("labels", labels, "no such file", remedy: "create it, or correct --labels", isPassing: false)
      }
      let file = StaticFile(labels)
      try file.read()
      files.append(file)
    }
    return files
      + Name.allCases.filter(enabled.contains).map { name -> any LabelSource in
        switch name {
        case .systemd: SystemdUnits()
        case .docker: DockerSource(socket: self[.dockerSocket], dataRoot: self[.dockerRoot])
        case .podman: PodmanSource(socket: self[.podmanSocket], storageRoot: self[.podmanRoot])
        case .containerd: ContainerdSource(socket: self[.containerdSocket], state: self[.containerdState])
        case .criContainerd: CRISource.containerd(socket: self[.containerdSocket], state: self[.containerdState])
        case .criO: CRISource.crio(socket: self[.crioSocket])
        case .lxc: LXCSource(containers: self[.lxcRoot])
        }
      }
  }
}
