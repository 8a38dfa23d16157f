// Is a node's cluster told from its own files, and is what they do not tell said to be unknown?
import Preflight
import Testing

@Suite struct ClusterCheckTests {
  private static let node: [String: String] = ["/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\n"]
  private static let calico = """
    {"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [{"type": "calico"}, {"type": "portmap"}]}
    """

  private func node(_ files: [String: String] = [:]) throws -> Tree { try Tree(Self.node.merging(files) { $1 }) }

  @Test func withoutAClusterNothingApplies() throws {
    for check in Check.all where check.group == .cluster {
      #expect(try Tree().find(check.name).outcome == .notApplicable, "\(check.name)")
    }
  }

  @Test func anIstioProxysEnvironmentTellsItsVersion() throws {
    func proxy(_ version: String) -> [String: String] {
      ["/proc/77/comm": "pilot-agent\n", "/proc/77/environ": "A=b\0ISTIO_META_ISTIO_VERSION=\(version)\0C=d\0"]
    }
    let old = try node(proxy("1.7.4")).find("cluster.istio")
    #expect(old.outcome == .fail && old.remedy.contains("1.8") && old.found == "Istio 1.7.4", "\(old)")
    #expect(try node(proxy("1.8.0")).find("cluster.istio").outcome == .pass)
    #expect(try node(proxy("1.22.1")).find("cluster.istio").outcome == .pass)
    // A proxy whose version is none is a proxy all the same.
    #expect(try node(proxy("unknown")).find("cluster.istio").outcome == .unknown)
    #expect(try node().find("cluster.istio").outcome == .notApplicable)
    let sign = try node(["/var/log/pods/shop_web-1_uid/istio-proxy/0.log": ""]).find("cluster.istio")
    #expect(sign.outcome == .unknown && sign.found.contains("shop_web-1_uid"), "\(sign)")
  }

  @Test(arguments: [
    ["/var/lib/kubelet/kubeadm-flags.env": "KUBELET_KUBEADM_ARGS=\"--network-plugin=kubenet --v=2\"\n"],
    ["/etc/default/kubelet": "KUBELET_FLAGS=--network-plugin=kubenet\n"],
    ["/proc/42/comm": "kubelet\n", "/proc/42/cmdline": "/usr/local/bin/kubelet\0--network-plugin=kubenet\0"],
    [
      "/etc/cni/net.d/10-containerd-net.conflist":
        "{\"name\": \"kubenet\", \"plugins\": [{\"type\": \"bridge\", \"bridge\": \"cbr0\"}]}"
    ],
  ])
  func kubenetIsRefusedWhereverItIsSet(_ files: [String: String]) throws {
    let finding = try node(files).find("cluster.cni")
    #expect(finding.outcome == .fail && finding.found.contains("kubenet"), "\(finding)")
  }

  @Test func theFirstNetworkIsThePlugin() throws {
    let tree = try node([
      "/etc/cni/net.d/10-calico.conflist": Self.calico, "/etc/cni/net.d/05-broken.conf": "{ not json",
      "/etc/cni/net.d/99-loopback.conf": "{\"type\": \"loopback\", \"name\": \"lo\"}",
    ])
    let finding = try tree.find("cluster.cni")
    #expect(finding.outcome == .pass && finding.found == "k8s-pod-network: calico, portmap", "\(finding)")
    #expect(finding.details.contains { $0.contains("05-broken.conf is no JSON object") })
    #expect(try node().find("cluster.cni").outcome == .fail)
  }

  private func kubelet(_ version: String) -> ProbeResults {
    var results = ProbeResults()
    results.tools = .seen([.kubelet: ToolFact(path: "/usr/bin/kubelet", version: "Kubernetes v\(version)")])
    return results
  }

  @Test func theVersionOfKubernetesOrOpenShiftCounts() throws {
    #expect(try node().find("cluster.kubernetes", kubelet("1.15.12")).outcome == .fail)
    #expect(try node().find("cluster.kubernetes", kubelet("1.16.0")).outcome == .pass)
    #expect(try node().find("cluster.kubernetes", kubelet("1.31.2-eks-94953ac")).outcome == .pass)
    #expect(try node().find("cluster.kubernetes").outcome == .unknown)
    let manifest = [
      "/etc/kubernetes/manifests/kube-apiserver.yaml": "  image: registry.k8s.io/kube-apiserver:v1.14.1\n"
    ]
    #expect(try node(manifest).find("cluster.kubernetes").outcome == .fail)
    for (version, outcome) in [("4.5", Outcome.fail), ("4.6", .pass), ("4.16", .pass), ("odd", .unknown)] {
      let tree = try Tree(["/etc/os-release": "ID=rhcos\nVERSION_ID=4.6\nOPENSHIFT_VERSION=\"\(version)\"\n"])
      #expect(try tree.find("cluster.kubernetes").outcome == outcome, "\(version)")
    }
  }

  @Test(arguments: [
    "\u{0}\u{1}\u{2}", "{{{", "- just\n- a list\n", "clusters: 7\n", "a: [1,\n", "clusters:\n- cluster: {}\n", "",
  ])
  func aKubeconfigOfGarbageIsAWarning(_ text: String) throws {
    let finding = try Tree(["/etc/kubernetes/admin.conf": text]).find("cluster.kubeconfig")
    #expect(finding.outcome == .warn && finding.found.hasPrefix("/etc/kubernetes/admin.conf: "), "\(finding)")
  }

  @Test func aKubeconfigTellsTheServer() throws {
    let text = "apiVersion: v1\nclusters:\n- name: c\n  cluster: {server: 'https://10.0.0.1:6443'}\n"
    #expect(try Tree(["/etc/kubernetes/admin.conf": text]).find("cluster.kubeconfig").found == "https://10.0.0.1:6443")
    let tree = try Tree(["/home/me/.kube/config": text])
    var host = tree.host
    #expect(try Check.named("cluster.kubeconfig").find(in: host).outcome == .notApplicable)
    host.environment = ["HOME": "/home/me"]
    #expect(try Check.named("cluster.kubeconfig").find(in: host).found == "https://10.0.0.1:6443")
    withExtendedLifetime(tree) {}
  }

  @Test func whatMayNotBeReadIsNoFault() throws {
    // A directory cannot be read as a file, not even by root.
    let tree = try node(["/etc/cni/net.d/10-calico.conflist/x": "", "/etc/kubernetes/admin.conf/x": ""])
    for name in ["cluster.cni", "cluster.kubeconfig"] {
      let finding = try tree.find(name)
      #expect(finding.outcome == .unknown && finding.remedy.contains("as root"), "\(finding)")
    }
  }

  @Test func serverlessNodesAreIgnored() throws {
    let tree = try node(["/proc/sys/kernel/hostname": "fargate-ip-192-168-1-1.ec2.internal\n"])
    let finding = try tree.find("cluster.serverless")
    #expect(finding.outcome == .notApplicable && finding.found.contains("ignored"), "\(finding)")
  }
}
