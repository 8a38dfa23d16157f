// Do real containers of real engines get the labels that they were started with, from files and from the engine?
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@testable import Workloads

@Suite(.requires(.root, .cgroups, .networkNamespaces, .program("busybox"), .program("runc")), .serialized)
struct ContainerEngineTests {
  /// The cgroup of a container: the only one below `parent` whose path names it.
  static func place(_ id: String, below parent: CgroupDirectory) throws -> CgroupPlace {
    var found: CgroupPlace?
    try parent.walk { cgroup throws(KernelError) in
      guard let reference = ContainerReference(path: cgroup.path.description), reference.id == id,
        reference.isOwnCgroup
      else { return }
      found = CgroupPlace(cgroup: cgroup.id, path: cgroup.path.description)
    }
    return try #require(found)
  }

  static func text(_ labels: SourceLabels?) -> [String]? { labels?.labels.labels.map(\.description) }

  static let options = ["--label", "app=shop", "--label", "com.example/tier=front", "--label", "k8s.namespace=evil"]
  static let tenant = [
    "container.label.com.example/tier=front", "container.label/app=shop", "container.label/k8s.namespace=evil",
  ]
  static let image = "container.image=\(ContainerEngines.image)"

  /// What holds of both engines that speak Docker's API.
  static func check(_ engine: ContainerEngine, _ source: any LabelSource, local: [String], id: String) async throws {
    let place = try place(id, below: engine.parent)
    #expect(source.claims(place))
    let said = try source.labels(of: place)
    #expect(text(said) == local)
    #expect(said?.name == "web")
    let asked = try await source.ask(about: place)
    #expect(text(asked) == [image] + tenant + ["container.name=web", "container.runtime=\(source.name)"])
    #expect(asked?.name == "web")

    // The same name elsewhere is not the same container: its process is not there.
    let name = (source.name == "podman" ? "libpod-" : "docker-") + id
    let impostor = try engine.parent.create("elsewhere").create(#require(FilePath.Component(name)))
    let impostorPlace = CgroupPlace(cgroup: impostor.id, path: impostor.path.description)
    await #expect(throws: SourceFault.self) { try await source.ask(about: impostorPlace) }
    // Nor is one in a directory of somebody who may name things there.
    unsafe chown("\(engine.parent.hierarchy.mount.mountPoint)\(engine.parent.path)/elsewhere", 4711, 4711)
    #expect(throws: SourceFault.self) { try source.labels(of: impostorPlace) }

    // A container in the network namespace of another is a workload of its own.
    let mate = try engine.start("mate", options: ["--network", "container:web", "--label", "app=mate"])
    let other = try await source.ask(about: Self.place(mate, below: engine.parent))
    #expect(other?.labels["container.label/app"] == "mate")

    try engine("rm", "-f", mate)
    try engine("rm", "-f", id)
    #expect(try source.labels(of: place) == nil)
    #expect(try await source.ask(about: place) == nil)
  }

  @Test(
    "Podman: name and image from its storage, labels from its API, events when containers start",
    .requires(.program("podman")))
  func podman() async throws {
    try await withEngines { engines in
      let podman = try engines.podman()
      let source = PodmanSource(socket: podman.socket, storageRoot: podman.root)
      let told = ContainerFaultTests.Told()
      let following = Task {
        await source.follow {
          told.add("\($0)")
        } report: {
          told.add($0 == nil ? "fine" : "fault")
        }
      }
      try await told.until { $0 == ["fault"] }
      let service = try podman.serve()
      try await told.until { $0 == ["fault", "fine", "everything"] }
      let id = try podman.start("web", options: ["--network", "none"] + Self.options)
      try await told.until { $0.contains("container(\"\(id)\")") }
      try await Self.check(
        podman, source, local: [Self.image, "container.name=web", "container.runtime=podman"], id: id)
      try service.stop()
      try await told.until { $0.last == "fault" }
      following.cancel()
      await following.value
    }
  }

  @Test("Docker: all labels from its files, also while it is down, and from its API", .requires(.program("dockerd")))
  func docker() async throws {
    try await withEngines { engines in
      let (docker, daemon) = try engines.docker()
      let source = DockerSource(socket: docker.socket, dataRoot: docker.root)
      let told = ContainerFaultTests.Told()
      let following = Task {
        await source.follow {
          told.add("\($0)")
        } report: {
          told.add($0 == nil ? "fine" : "fault")
        }
      }
      try await told.until { $0 == ["fine", "everything"] }
      let id = try docker.start("web", options: ["--network", "none"] + Self.options)
      try await told.until { $0.contains("container(\"\(id)\")") }
      let local = [Self.image] + Self.tenant + ["container.name=web", "container.runtime=docker"]
      try await Self.check(docker, source, local: local, id: id)

      let kept = try docker.start("kept", options: ["--network", "none"])
      let place = try Self.place(kept, below: docker.parent)
      try daemon.stop()
      try await told.until { $0.last == "fault" }
      #expect(try source.labels(of: place)?.name == "kept")
      following.cancel()
      await following.value
    }
  }

  @Test(
    "containerd: pods and their containers, also on the host's network, and containers without a pod",
    .requires(.program("containerd"), .program("ctr")))
  func containerd() async throws {
    try await withEngines { engines in
      let containerd = try engines.containerd()
      let source = CRISource.containerd(socket: containerd.socket, state: containerd.state)
      let told = ContainerFaultTests.Told()
      let following = Task {
        await source.follow {
          told.add("\($0)")
        } report: {
          told.add($0 == nil ? "fine" : "fault")
        }
      }
      try await told.until { $0 == ["fine", "everything"] }

      let web = try await containerd.startPod(
        "web-0", uid: "8a3f1c1e-0000-4000-8000-00000000abcd", namespace: "shop",
        labels: [
          "app": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "5d8", "k8s.namespace": "evil",
        ])
      let id = try await containerd.startContainer("nginx", in: web)
      let place = try Self.place(id, below: containerd.parent)
      #expect(place.path == "\(containerd.parent.path)/pod\(web.uid)/\(id)")
      let said = try source.labels(of: place)
      #expect(
        Self.text(said) == [
          Self.image, "container.runtime=containerd", "k8s.container=nginx", "k8s.namespace=shop",
        ])
      let asked = try await source.ask(about: place)
      #expect(
        Self.text(asked) == [
          Self.image, "container.runtime=containerd", "k8s.container=nginx",
          "k8s.label.app.kubernetes.io/part-of=shop", "k8s.label/app=web", "k8s.label/k8s.namespace=evil",
          "k8s.namespace=shop",
        ])
      #expect(asked?.name == "shop/web-0/nginx")
      let sandbox = try Self.place(web.sandbox, below: containerd.parent)
      #expect(try await source.ask(about: sandbox)?.name == "shop/web-0")
      #expect(try source.labels(of: sandbox)?.name == "shop/web-0")

      // Two pods on the host's network have one address, and labels of their own.
      let host = try await containerd.startPod(
        "agent", uid: "8a3f1c1e-0000-4000-8000-00000000beef", namespace: "shop", labels: ["app": "agent"],
        hostNetwork: true)
      let agent = try await containerd.startContainer("main", in: host)
      let onHost = try await source.ask(about: Self.place(agent, below: containerd.parent))
      #expect(onHost?.labels["k8s.label/app"] == "agent")

      // A container without a pod.
      let namespace = try #require(containerd.parent.path.components.first?.string)
      try containerd.importImage(namespace: namespace)
      try containerd.start(namespace: namespace, name: "plain", labels: ["app": "native"])
      let native = ContainerdSource(socket: containerd.socket, state: containerd.state)
      let plain = CgroupPlace(cgroup: CgroupID(rawValue: 1), path: "/\(namespace)/plain")
      #expect(native.claims(plain))
      #expect(Self.text(try native.labels(of: plain)) == ["container.name=plain", "container.runtime=containerd"])
      #expect(
        Self.text(try await native.ask(about: plain)) == [
          Self.image, "container.label/app=native", "container.name=plain", "container.runtime=containerd",
        ])
      #expect(try native.labels(of: CgroupPlace(cgroup: CgroupID(rawValue: 1), path: "/\(namespace)/engines")) == nil)

      try await containerd.remove(host)
      try await containerd.remove(web)
      #expect(try await source.ask(about: place) == nil)
      #expect(try source.labels(of: place) == nil)
      try containerd.daemon.stop()
      try await told.until { $0.last == "fault" }
      following.cancel()
      await following.value
    }
  }
}
