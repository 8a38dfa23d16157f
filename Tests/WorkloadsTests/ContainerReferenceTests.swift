// Is a container found by the path of its cgroup, of every runtime and driver, and nothing else taken for one?
import Kernel
import Testing
import Workloads

@Suite struct ContainerReferenceTests {
  static let id = "3fa1c0de3fa1c0de3fa1c0de3fa1c0de3fa1c0de3fa1c0de3fa1c0de3fa1c0de"
  static let other = "00000000000000000000000000000000000000000000000000000000000000ff"
  static let uid = "8a3f1c1e-0000-4000-8000-00000000abcd"
  static let escapedUID = "8a3f1c1e_0000_4000_8000_00000000abcd"

  struct Row: Sendable, CustomTestStringConvertible {
    var path: String
    var id = ContainerReferenceTests.id
    var runtime: ContainerRuntime?
    var pod: String?
    var below = 0
    var user: UInt32?
    var testDescription: String { path }
  }

  @Test(
    "The path of every runtime and cgroup driver names its container",
    arguments: [
      Row(path: "/docker/\(id)"),
      Row(path: "/env-docker/\(id)"),
      Row(path: "/system.slice/docker-\(id).scope", runtime: .docker),
      Row(path: "/my.slice/docker-\(id).scope", runtime: .docker),
      Row(path: "/kubepods/burstable/pod\(uid)/\(id)", pod: uid),
      Row(path: "/kubepods/besteffort/pod\(uid)/\(id)", pod: uid),
      Row(path: "/kubepods/pod\(uid)/\(id)", pod: uid),
      Row(
        path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\(escapedUID).slice/"
          + "cri-containerd-\(id).scope", runtime: .containerd, pod: uid),
      Row(
        path: "/kubepods.slice/kubepods-pod\(escapedUID).slice/crio-\(id).scope", runtime: .crio, pod: uid),
      Row(path: "/kubepods.slice/kubepods-pod\(escapedUID).slice/docker-\(id).scope", runtime: .docker, pod: uid),
      Row(path: "/kubepods/burstable/pod\(uid)/crio-\(id)", runtime: .crio, pod: uid),
      Row(path: "/kubepods/pod0123456789abcdef0123456789abcdef/\(id)", pod: "0123456789abcdef0123456789abcdef"),
      Row(path: "/libpod_parent/libpod-\(id)", runtime: .podman),
      Row(path: "/machine.slice/libpod-\(id).scope", runtime: .podman),
      Row(path: "/machine.slice/libpod-\(id).scope/container", runtime: .podman, below: 1),
      Row(
        path: "/machine.slice/machine-libpod_pod_\(other).slice/libpod-\(id).scope/container", runtime: .podman,
        below: 1),
      Row(path: "/system.slice/web.service/libpod-payload-\(id)", runtime: .podman),
      Row(
        path: "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-\(id).scope", runtime: .podman,
        user: 1000),
      Row(path: "/lxc.payload.web", id: "web", runtime: .lxc),
      Row(path: "/lxc.payload.web-1/init.scope", id: "web-1", runtime: .lxc, below: 1),
      Row(path: "/lxc/web", id: "web", runtime: .lxc),
      Row(path: "/machine.slice/systemd-nspawn@my\\x2dbox.service", id: "my-box", runtime: .nspawn),
      Row(path: "/machine.slice/systemd-nspawn@box.service/payload/init.scope", id: "box", runtime: .nspawn, below: 2),
      Row(path: "/machine.slice/machine-box.scope", id: "box", runtime: .nspawn),
    ])
  func table(_ row: Row) throws {
    let reference = try #require(ContainerReference(path: row.path))
    #expect(reference.id == row.id)
    #expect(reference.runtime == row.runtime)
    #expect(reference.podUID == row.pod)
    #expect(reference.below == row.below)
    #expect(reference.isOwnCgroup == (row.below == 0))
    #expect(reference.user == row.user)
    let own = row.path.split(separator: "/").dropLast(row.below).joined(separator: "/")
    #expect(reference.cgroupPath == "/" + own)
  }

  @Test(
    "What only resembles a container is none",
    arguments: [
      "/", "", "/system.slice/ssh.service", "/docker", "/kubepods/burstable/pod\(uid)",
      "/machine.slice/libpod-conmon-\(id).scope", "/lxc.monitor.web", "/lxc.payload.", "/lxc/", "/a/lxc/web",
      "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "/machine.slice/machine-libpod_pod_\(id).slice",
      "/docker/\(id.dropLast())", "/docker/\(id)0", "/docker/\(id.uppercased())", "/docker/\(id) ",
      "/docker/\(id)\n", "/x/docker-\(id).scopes", "/x/docker-.scope", "/x/docker-\(id).scope.service",
      "/system.slice/docker-\(id.dropLast())g.scope", "/x/dockerd-\(id).scope",
      "/docker/\(String(decoding: Array(id.utf8.dropLast()) + [0xff], as: UTF8.self))",
      "/" + String(repeating: "a", count: 255), "/" + String(repeating: "../", count: 80),
      "/docker/１\(id.dropFirst())",
    ])
  func none(_ path: String) {
    #expect(ContainerReference(path: path) == nil)
  }

  @Test("A hostile name above or below a container changes nothing about it")
  func hostileNeighbours() throws {
    for name in [" ", "a\nb", "..", String(repeating: "x", count: 255), "\u{FFFD}\u{FFFD}", "docker-.scope"] {
      let inside = try #require(ContainerReference(path: "/docker/\(Self.id)/\(name)"))
      #expect(inside.id == Self.id)
      #expect(inside.below == 1)
      let above = try #require(ContainerReference(path: "/\(name)/docker-\(Self.id).scope"))
      #expect(above.id == Self.id)
      #expect(above.cgroupPath == "/\(name)/docker-\(Self.id).scope")
    }
  }

  @Test(
    "A container inside a container is the outer one's: nobody inside can name itself somebody else",
    arguments: [
      "/docker/\(id)/docker/\(other)", "/docker/\(id)/\(other)", "/docker/\(id)/system.slice/docker-\(other).scope",
      "/docker/\(id)/kubelet/kubepods/burstable/pod\(uid)/\(other)", "/docker/\(id)/lxc.payload.web",
      "/docker/\(id)/machine.slice/libpod-\(other).scope/container",
    ])
  func nested(_ path: String) throws {
    let reference = try #require(ContainerReference(path: path))
    #expect(reference.id == Self.id)
    #expect(!reference.isOwnCgroup)
    #expect(reference.podUID == nil)
    #expect(reference.cgroupPath == "/docker/\(Self.id)")
  }

  @Test("A pod's directory counts only where it holds the container, and only with a UID in it")
  func pods() {
    #expect(ContainerReference(path: "/pod\(Self.uid)/x/\(Self.id)")?.podUID == nil)
    #expect(ContainerReference(path: "/kubepods/pod../\(Self.id)")?.podUID == nil)
    #expect(ContainerReference(path: "/kubepods/podxyz/\(Self.id)")?.podUID == nil)
    #expect(ContainerReference(path: "/evil-pod\(Self.escapedUID).slice/\(Self.id)")?.podUID == nil)
  }

  @Test("containerd's own clients name a cgroup by namespace and name, in containerd's grammar")
  func native() {
    #expect(ContainerReference.containerd(path: "/default/web_1.a")?.namespace == "default")
    #expect(ContainerReference.containerd(path: "/default/web_1.a")?.name == "web_1.a")
    for path in [
      "/", "/default", "/a/b/c", "/default/..", "/default/a b", "/default/a\nb", "/-a/b", "/a/b..c", "/a/b-",
    ] {
      #expect(ContainerReference.containerd(path: path) == nil)
    }
    #expect(ContainerReference.containerd(path: "/a/" + String(repeating: "x", count: 77)) == nil)
  }

  @Test("Every source claims its own containers' cgroups, not what is below them, nor a user's")
  func claims() {
    let id = Self.id
    func claiming(_ path: String) -> [String] {
      let sources: [any LabelSource] = [
        DockerSource(), PodmanSource(), CRISource.containerd(), CRISource.crio(), LXCSource(),
      ]
      let place = CgroupPlace(cgroup: .init(rawValue: 1), path: path)
      return sources.filter { $0.claims(place) }.map(\.name)
    }
    #expect(claiming("/docker/\(id)") == ["docker"])
    #expect(claiming("/docker/\(id)/init.scope") == [])
    #expect(claiming("/kubepods/pod\(Self.uid)/\(id)") == ["docker", "cri-containerd", "cri-o"])
    #expect(claiming("/kubepods.slice/crio-\(id).scope") == ["cri-o"])
    #expect(claiming("/machine.slice/libpod-\(id).scope") == ["podman"])
    #expect(claiming("/user.slice/user@1000.service/libpod-\(id).scope") == [])
    #expect(claiming("/user.slice/user@1000.service/docker-\(id).scope") == [])
    #expect(claiming("/lxc.payload.web") == ["lxc"])
  }
}
