// containerd with its container runtime interface, and pods made through it as the kubelet makes them.
package import Kernel
internal import SystemPackage

@testable import Workloads

/// A running containerd.
package struct PodRuntime: Sendable {
  /// Its socket.
  package let socket: String
  /// Its `state` directory.
  package let state: String
  /// The process.
  package let daemon: ContainerDaemon
  /// The cgroup that pods are put into, as the kubelet's `kubepods`.
  package let parent: CgroupDirectory
  private let engines: ContainerEngines

  fileprivate init(
    _ engines: ContainerEngines, socket: String, state: String, daemon: ContainerDaemon, parent: CgroupDirectory
  ) {
    self.engines = engines
    self.socket = socket
    self.state = state
    self.daemon = daemon
    self.parent = parent
  }

  /// Runs containerd's own command line.
  @discardableResult
  package func ctr(_ words: [String]) throws -> String { try engines.run(["ctr", "-a", socket] + words) }

  /// Has the test's image in a namespace.
  package func importImage(namespace: String) throws {
    try ctr(
      ["-n", namespace, "images", "import", "--snapshotter", "native", "\(engines.directory)/image.tar"])
  }

  /// Starts a container as `ctr` does, in the cgroup `/NAMESPACE/NAME`.
  package func start(namespace: String, name: String, labels: [String: String]) throws {
    let options = labels.flatMap { ["--label", "\($0.key)=\($0.value)"] }
    try ctr(
      ["-n", namespace, "run", "-d", "--snapshotter", "native", "--runc-binary", "\(engines.directory)/runtime"]
        + options + [ContainerEngines.image, name])
  }

  /// Runs a program in a pod's container and returns the last line that it wrote.
  package func execute(_ command: [String], in container: String) throws -> String {
    let text = try ctr(["-n", "k8s.io", "task", "exec", "--exec-id", "test", container] + command)
    return String(text.split(separator: "\n").last ?? "")
  }
}

/// A pod and how it was configured.
package struct Pod: Sendable {
  /// Its UID.
  package let uid: String
  /// The id of its sandbox.
  package let sandbox: String
  fileprivate let configuration: [UInt8]
}

/// Protobuf as it is written (protobuf.dev/programming-guides/encoding): enough to ask for a pod.
private struct Wire {
  var bytes: [UInt8] = []

  mutating func varint(_ value: Int) {
    var rest = value
    while rest > 127 {
      bytes.append(UInt8(truncatingIfNeeded: rest & 127 | 128))
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  mutating func add(_ field: Int, _ value: [UInt8]) {
    varint(field << 3 | 2)
    varint(value.count)
    bytes += value
  }

  mutating func add(_ field: Int, _ value: String) { add(field, Array(value.utf8)) }

  mutating func add(_ field: Int, _ value: Int) {
    varint(field << 3)
    varint(value)
  }

  mutating func add(_ field: Int, _ map: [String: String]) {
    for (key, value) in map {
      add(
        field,
        Wire.make {
          $0.add(1, key); $0.add(2, value)
        })
    }
  }

  static func make(_ body: (inout Wire) -> Void) -> [UInt8] {
    var wire = Wire()
    body(&wire)
    return wire.bytes
  }
}

extension PodRuntime {
  /// Starts a pod.
  ///
  /// - Parameter hostNetwork: whether it uses the network namespace that containerd is in.
  package func startPod(
    _ name: String, uid: String, namespace: String, labels: [String: String], hostNetwork: Bool = false
  ) async throws -> Pod {
    let own = ["io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": uid]
    let configuration = Wire.make { pod in
      pod.add(
        1,
        Wire.make {
          $0.add(1, name); $0.add(2, uid); $0.add(3, namespace)
        })
      // A pod on the host's network has the host's name too.
      if !hostNetwork { pod.add(2, name) }
      pod.add(3, "\(engines.directory)/logs")
      pod.add(6, labels.merging(own) { $1 })
      pod.add(
        8,
        Wire.make { linux in
          linux.add(1, "\(parent.path)/pod\(uid)")
          // NODE is 2.
          if hostNetwork { linux.add(2, Wire.make { $0.add(1, Wire.make { $0.add(1, 2) }) }) }
        })
    }
    let sandbox = try await call("RunPodSandbox", Wire.make { $0.add(1, configuration) })
    return Pod(uid: uid, sandbox: sandbox, configuration: configuration)
  }

  /// Starts a container in a pod, and returns its id.
  package func startContainer(_ name: String, in pod: Pod, command: [String] = ["sleep", "600"]) async throws -> String
  {
    let configuration = Wire.make { container in
      container.add(1, Wire.make { $0.add(1, name) })
      container.add(2, Wire.make { $0.add(1, ContainerEngines.image) })
      for word in command { container.add(3, word) }
      container.add(9, ["io.kubernetes.container.name": name, "io.kubernetes.pod.uid": pod.uid])
      container.add(11, "\(name).log")
    }
    let request = Wire.make {
      $0.add(1, pod.sandbox); $0.add(2, configuration); $0.add(3, pod.configuration)
    }
    let id = try await call("CreateContainer", request)
    try await call("StartContainer", Wire.make { $0.add(1, id) })
    return id
  }

  /// Stops and removes a pod with its containers.
  package func remove(_ pod: Pod) async throws {
    try await call("StopPodSandbox", Wire.make { $0.add(1, pod.sandbox) })
    try await call("RemovePodSandbox", Wire.make { $0.add(1, pod.sandbox) })
  }

  /// Makes a call whose answer, if it has any, is one string in field 1.
  @discardableResult
  private func call(_ method: String, _ request: [UInt8]) async throws -> String {
    var socket = EngineSocket(socket)
    socket.answerWithin = .seconds(20)
    let connection = try await GRPCConnection.open(socket)
    defer { connection.close() }
    let answer = try await connection.call("/runtime.v1.RuntimeService/\(method)", request)
    let read: StatusRequest = try decode(answer)
    return read.id
  }
}

extension ContainerEngines {
  /// containerd, running, with the test's image for pods; pods get addresses of 10.88.0.0/24 inside the engines' namespace.
  package func containerd() throws -> PodRuntime {
    let (home, socket) = ("\(directory)/containerd", "\(directory)/containerd.sock")
    try makeDirectory(home)
    try write(
      """
      version = 2
      root = "\(home)/root"
      state = "\(home)/state"
      [grpc]
        address = "\(socket)"
      [plugins."io.containerd.grpc.v1.cri"]
        sandbox_image = "\(Self.image)"
        restrict_oom_score_adj = true
        netns_mounts_under_state_dir = true
        [plugins."io.containerd.grpc.v1.cri".cni]
          bin_dir = "/usr/lib/cni"
          conf_dir = "\(home)/cni"
        [plugins."io.containerd.grpc.v1.cri".containerd]
          snapshotter = "native"
          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
            runtime_type = "io.containerd.runc.v2"
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
              BinaryName = "\(directory)/runtime"
      """, to: "\(home)/config.toml")
    try makeDirectory("\(home)/cni")
    try write(
      #"{"cniVersion":"0.4.0","name":"test","plugins":[{"type":"ptp","ipam":{"type":"host-local","#
        + #""ranges":[[{"subnet":"10.88.0.0/24"}]],"dataDir":"\#(home)/ipam"}}]}"#,
      to: "\(home)/cni/10-test.conflist")
    let daemon = try daemon(["containerd", "-c", "\(home)/config.toml"], socket: socket)
    let runtime = PodRuntime(
      self, socket: socket, state: "\(home)/state", daemon: daemon, parent: try parent.create("kubepods"))
    try runtime.importImage(namespace: "k8s.io")
    return runtime
  }
}
