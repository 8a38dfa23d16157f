// What a node's cluster must be, as far as the node's own files and processes tell.

/// The checks of Kubernetes and OpenShift.
let clusterChecks: [Check] = [
  cluster(
    "kubernetes", requires: "Kubernetes 1.16 or later, or OpenShift 4.6 or later",
    purpose: "pods' cgroups and NetworkPolicy are read as these versions have them",
    method: "`kubelet --version`, OPENSHIFT_VERSION of os-release, the image in kube-apiserver.yaml",
    remedy: "upgrade the cluster", judge: judgeKubernetes),
  cluster(
    "cni", requires: "a CNI plugin; kubenet is not supported",
    purpose: "the agent tells a pod's packets by the network that a plugin makes",
    method: "/etc/cni/net.d, the kubelet's flags, its command line",
    remedy: "move the cluster to a CNI plugin", judge: judgeNetwork),
  cluster(
    "istio", requires: "Istio 1.8 or later, if there is one",
    purpose: "older sidecars redirect traffic in a way that hides which workload sends",
    method: "ISTIO_META_ISTIO_VERSION in the environment of running proxies; istio-cni; pods with an istio-proxy",
    remedy: "upgrade Istio", judge: judgeIstio),
  cluster(
    "serverless", requires: "nothing: serverless nodes (Fargate, virtual kubelets) are ignored",
    purpose: "there is no host that an agent could run on",
    method: "the host's name, and processes called virtual-kubelet", remedy: "none", judge: judgeServerless),
  cluster(
    "kubeconfig", requires: "kubeconfig files that can be read",
    purpose: "they say where the API server is; the agent itself needs none",
    method: "KUBECONFIG, ~/.kube/config, /etc/kubernetes", remedy: "write it anew", judge: judgeKubeConfig),
]

private func cluster(
  _ name: String, requires requirement: String, purpose: String, method: String, remedy: String,
  judge: @escaping @Sendable (HostView, ProbeResults) -> Finding
) -> Check {
  Check(
    name, .cluster, requires: requirement, by: [.cluster], purpose: purpose, method: method, remedy: remedy,
    probes: [.tools]
  ) { host, results in
    guard host.isInCluster else {
      let how = "/var/lib/kubelet, /etc/kubernetes, KUBECONFIG"
      if let why = host.clusterObstacle { return .unknown(why, how: how, remedy: "look as root") }
      return .notApplicable("no kubelet and no kubeconfig here", how: how)
    }
    return judge(host, results)
  }
}

private let serverUnasked = "no API server was asked: other nodes may differ"

@Sendable private func judgeKubernetes(_ host: HostView, _ results: ProbeResults) -> Finding {
  if let openShift = host.openShift {
    let how = "OPENSHIFT_VERSION of /etc/os-release"
    guard let version = Version(openShift) else { return .unknown("'\(openShift)' is no version", how: how) }
    return version < Version([4, 6])
      ? .fail(
        "OpenShift \(openShift)", how: how, meaning: "older than any that was tried",
        remedy: "upgrade the cluster to 4.6 or later")
      : .pass("OpenShift \(openShift)", how: how, details: [serverUnasked])
  }
  var told: (text: String, how: String)?
  if let version = host.controlPlaneVersion { told = (version, "the image in kube-apiserver.yaml") }
  // The version that a program tells is of this machine, never of a recorded tree.
  if let fact = results.tools.value?[.kubelet], let place = fact.version.firstRange(of: "Kubernetes v") {
    told = (String(fact.version[place.upperBound...]), "\(fact.path) --version")
  }
  guard let told, let version = Version(told.text) else {
    return .unknown(
      "no kubelet program and no manifest of the API server tells a version; \(serverUnasked)",
      how: "kubelet --version, /etc/kubernetes/manifests", remedy: "kubectl version")
  }
  guard version < Version([1, 16]) else {
    return .pass("Kubernetes \(told.text)", how: told.how, details: [serverUnasked])
  }
  return .fail(
    "Kubernetes \(told.text)", how: told.how,
    meaning: "older than any that was tried: NetworkPolicy v1 may be read wrongly",
    remedy: "upgrade the cluster to 1.16 or later")
}

@Sendable private func judgeNetwork(_ host: HostView, _ results: ProbeResults) -> Finding {
  let how = "/etc/cni/net.d, flags of the kubelet"
  if let place = host.kubenet {
    return .fail(
      "kubenet, as \(place) says", how: how,
      meaning: "kubenet is no CNI plugin: pods share the bridge cbr0 and routes of the cloud, and it is not supported",
      remedy: "move the cluster to a CNI plugin such as Calico or Cilium (AKS: `az aks update --network-plugin azure`)")
  }
  let (networks, problems, obstacle) = host.networks
  if let first = networks.first {
    let others = networks.dropFirst().map(\.file)
    return .pass(
      "\(first.name.isEmpty ? first.file : first.name): \(first.plugins.joined(separator: ", "))", how: first.file,
      details: others.map { "also \($0), which comes later" } + problems)
  }
  guard !host.kubelet.isEmpty else {
    return .unknown("this host has a kubeconfig and no kubelet: its network is none of the cluster's", how: how)
  }
  if let obstacle { return .unknown(obstacle, how: how, remedy: "look as root") }
  switch host.names("/etc/cni/net.d") {
  case .unseen(let why): return .unknown(why, how: how, remedy: "look as root")
  default:
    return .fail(
      problems.first ?? "no network in /etc/cni/net.d", how: how, meaning: "pods on this node have no network yet",
      remedy: "install the cluster's CNI plugin", details: problems)
  }
}

@Sendable private func judgeIstio(_ host: HostView, _ results: ProbeResults) -> Finding {
  let how = "environment of running proxies, /etc/cni/net.d, /var/log/pods"
  let (texts, unread) = host.istioProxies
  let versions = texts.compactMap { Version($0) }.sorted()
  if let oldest = versions.first {
    let list = texts.sorted().joined(separator: ", ")
    guard oldest < Version([1, 8]) else { return .pass("Istio \(list)", how: how, details: [serverUnasked]) }
    return .fail(
      "Istio \(list)", how: how,
      meaning: "older than 1.8: its proxies send all pods' traffic as one that cannot be told apart",
      remedy: "upgrade Istio to 1.8 or later, and restart the pods that still have an old proxy",
      commands: ["istioctl proxy-status"])
  }
  if let odd = texts.sorted().first {
    return .unknown("Istio \(odd), which is no version", how: how, remedy: "istioctl version")
  }
  if unread > 0 {
    return .unknown("\(unread) proxies run whose environment may not be read", how: how, remedy: "look as root")
  }
  if let sign = host.istioSign {
    return .unknown("\(sign), and no proxy that runs here tells its version", how: how, remedy: "istioctl version")
  }
  // A proxy that is not shown is none that is not there.
  if let why = host.hiddenProcesses { return .unknown(why, how: how, remedy: "look as root") }
  return .notApplicable("no sign of Istio on this node", how: how)
}

@Sendable private func judgeServerless(_ host: HostView, _ results: ProbeResults) -> Finding {
  let how = "/proc/sys/kernel/hostname, processes"
  let name = host.text("/proc/sys/kernel/hostname").value?.trimmed ?? ""
  if name.hasPrefix("fargate-") {
    return .notApplicable("\(name) is a serverless node: it is ignored", how: how)
  }
  let virtual = host.processes(named: ["virtual-kubelet"]).count
  if virtual > 0 {
    return .notApplicable("\(virtual) virtual kubelet here: what it runs elsewhere is ignored", how: how)
  }
  return .pass("this node is none; \(serverUnasked)", how: how)
}

@Sendable private func judgeKubeConfig(_ host: HostView, _ results: ProbeResults) -> Finding {
  let how = "KUBECONFIG, ~/.kube/config, /etc/kubernetes"
  let files = host.kubeConfigs
  guard !files.isEmpty else { return .notApplicable("none here", how: how) }
  let details = files.map { "\($0.file): \($0.problem ?? $0.servers.joined(separator: ", "))" }
  if let broken = files.first(where: { $0.problem != nil && !$0.isUnread }) {
    return .warn(
      "\(broken.file): \(broken.problem ?? "")", how: how, meaning: "it does not say where the cluster's API server is",
      remedy: "write the file anew, or take it away", details: details)
  }
  if let hidden = files.first(where: \.isUnread) {
    return .unknown("\(hidden.file): \(hidden.problem ?? "")", how: how, remedy: "look as its owner, or as root")
  }
  return .pass(Set(files.flatMap(\.servers)).sorted().joined(separator: ", "), how: how, details: details)
}
