// What the files of a node say about the cluster that it is in; no server is asked.
internal import Kernel
internal import Yams

/// A network plugin's configuration (github.com/containernetworking/cni, SPEC.md).
struct NetworkConfiguration: Sendable, Equatable {
  /// The file.
  let file: String
  /// `name` of the network.
  let name: String
  /// `type` of each plugin, in order.
  let plugins: [String]
  /// The bridge of each plugin that has one.
  let bridges: [String]
}

/// A file that says where an API server is.
struct KubeConfig: Sendable, Equatable {
  /// The file.
  let file: String
  /// The servers' addresses; empty with `problem`.
  let servers: [String]
  /// Why it could not be understood, or nil.
  let problem: String?
  /// Whether it may not be read, so that nothing is known of it.
  var isUnread = false
}

extension HostView {
  /// Files of the kubelet that are on a node.
  static let kubeletFiles = [
    "/var/lib/kubelet/config.yaml", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/kubelet/kubelet-config.json",
    "/var/lib/kubelet/kubeconfig", "/etc/rancher/k3s/config.yaml", "/var/lib/kubelet/kubeadm-flags.env",
  ]

  /// The files of a kubelet that are there.
  var kubelet: [String] { Self.kubeletFiles.filter(isThere) }

  /// Whether anything says that this host is a node, or that somebody here works with a cluster.
  var isInCluster: Bool { !kubelet.isEmpty || !kubeConfigPaths.isEmpty || openShift != nil }

  /// The files that may say where an API server is, in the order of kubectl.
  private var kubeConfigPaths: [String] { possibleKubeConfigs.filter(isThere) }

  private var possibleKubeConfigs: [String] {
    var paths = (environment["KUBECONFIG"] ?? "").split(separator: ":").map(String.init)
    if let home = environment["HOME"] { paths.append("\(home)/.kube/config") }
    paths += ["/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/kubeconfig"]
    paths += ["/etc/rancher/k3s/k3s.yaml"]
    var seen: Set<String> = []
    return paths.filter { seen.insert($0).inserted }
  }

  /// Why it cannot be said whether this host is in a cluster; nil if it can.
  var clusterObstacle: String? { hidden(Self.kubeletFiles + possibleKubeConfigs) }

  /// Every kubeconfig that is there, understood or not.
  var kubeConfigs: [KubeConfig] {
    kubeConfigPaths.map { path in
      guard case .seen(let text) = text(path) else {
        return KubeConfig(file: path, servers: [], problem: text(path).obstacle ?? "it is gone", isUnread: true)
      }
      do {
        guard let node = try Yams.compose(yaml: text), let clusters = node["clusters"]?.sequence else {
          return KubeConfig(file: path, servers: [], problem: "it has no list `clusters`")
        }
        let servers = clusters.compactMap { $0["cluster"]?["server"]?.string }
        return KubeConfig(
          file: path, servers: servers, problem: servers.isEmpty ? "no cluster in it has a server" : nil)
      } catch {
        return KubeConfig(file: path, servers: [], problem: "it is no YAML: \(Self.firstLine("\(error)"))")
      }
    }
  }

  static func firstLine(_ text: String) -> String { text.split(separator: "\n").first.map(String.init) ?? text }

  /// The version of OpenShift that os-release of a CoreOS node has; nil elsewhere.
  var openShift: String? {
    guard let text = text("/etc/os-release").value else { return nil }
    return Self.assignments(text)["OPENSHIFT_VERSION"]
  }

  /// The version of the API server whose manifest is on this node, which is one of its control plane.
  var controlPlaneVersion: String? {
    guard let text = text("/etc/kubernetes/manifests/kube-apiserver.yaml").value else { return nil }
    for line in text.split(separator: "\n") {
      guard let place = line.firstRange(of: "kube-apiserver:v") else { continue }
      return String(line[place.upperBound...].prefix { $0.isNumber || $0 == "." })
    }
    return nil
  }

  /// The networks of /etc/cni/net.d in the order in which runtimes take them, what is wrong with the other files, and why
  /// one of them could not be read.
  var networks: (found: [NetworkConfiguration], problems: [String], obstacle: String?) {
    var found: [NetworkConfiguration] = []
    var problems: [String] = []
    var obstacle: String?
    let directory = "/etc/cni/net.d"
    for name in names(directory).value ?? [] where [".conf", ".conflist", ".json"].contains(where: name.hasSuffix) {
      let path = "\(directory)/\(name)"
      guard case .seen(let text) = text(path) else {
        obstacle = obstacle ?? self.text(path).obstacle
        continue
      }
      // JSON is YAML too.
      guard let node = try? Yams.compose(yaml: text), node.mapping != nil else {
        problems.append("\(path) is no JSON object")
        continue
      }
      let plugins = node["plugins"]?.sequence.map(Array.init) ?? [node]
      found.append(
        NetworkConfiguration(
          file: path, name: node["name"]?.string ?? "", plugins: plugins.compactMap { $0["type"]?.string },
          bridges: plugins.compactMap { $0["bridge"]?.string }))
    }
    return (found, problems, obstacle)
  }

  /// Where the kubelet is told to use kubenet; nil if it is nowhere.
  var kubenet: String? {
    let files =
      ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"]
      + ["/etc/systemd/system", "/usr/lib/systemd/system"].flatMap { directory in
        ["\(directory)/kubelet.service"]
          + (names("\(directory)/kubelet.service.d").value ?? []).map { "\(directory)/kubelet.service.d/\($0)" }
      }
    for file in files where text(file).value?.contains("--network-plugin=kubenet") == true { return file }
    for process in processes(named: ["kubelet", "hyperkube"]) {
      let words = text("/proc/\(process)/cmdline").value?.split(separator: "\0") ?? []
      if words.contains("--network-plugin=kubenet") { return "the command line of process \(process)" }
    }
    return networks.found.first { $0.name == "kubenet" || $0.bridges.contains("cbr0") }?.file
  }

  /// The processes of a name, as far as /proc shows them.
  func processes(named wanted: Set<String>) -> [String] {
    (names("/proc").value ?? []).filter { name in
      guard name.allSatisfy(\.isNumber), let command = text("/proc/\(name)/comm").value?.trimmed else { return false }
      return wanted.contains(command)
    }
  }

  /// The versions of Istio's proxies that run here, by what their image puts into their environment.
  ///
  /// `unread` are proxies whose environment may not be read.
  var istioProxies: (versions: Set<String>, unread: Int) {
    var versions: Set<String> = []
    var unread = 0
    for process in processes(named: ["pilot-agent", "envoy", "ztunnel", "istio-iptables"]) {
      guard case .seen(let text) = text("/proc/\(process)/environ") else {
        unread += 1
        continue
      }
      let prefix = "ISTIO_META_ISTIO_VERSION="
      guard let variable = text.split(separator: "\0").first(where: { $0.hasPrefix(prefix) }) else { continue }
      versions.insert(String(variable.dropFirst(prefix.count)))
    }
    return (versions, unread)
  }

  /// The first sign of Istio on this node other than a running proxy; nil without one.
  var istioSign: String? {
    if let network = networks.found.first(where: { $0.plugins.contains("istio-cni") }) {
      return "\(network.file) has istio-cni"
    }
    for pod in names("/var/log/pods").value ?? [] where isThere("/var/log/pods/\(pod)/istio-proxy") {
      return "the pod \(pod) has an istio-proxy"
    }
    return nil
  }
}
