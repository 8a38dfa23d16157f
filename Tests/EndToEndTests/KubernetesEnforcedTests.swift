// Is what the kernel does with real pods what the documents say offline, in every cell?
internal import Glibc
internal import Policy
internal import TestSupport
internal import Testing

@Suite("Kubernetes, enforced", .serialized, .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces), .policed)
struct KubernetesEnforcedTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// How many random clusters are made; `scripts/kubernetes-cells` asks for more.
  private static let clusters = unsafe getenv("SALLYPORT_CLUSTERS").flatMap { unsafe Int(String(cString: $0)) } ?? 8

  @Test("every cell of the conformance cases is enforced as it is written")
  func conformance() async throws {
    let arena = try KubernetesArena(policed)
    let cluster = KubernetesCase.cluster(.both)
    let places = Dictionary(uniqueKeysWithValues: cluster.pods.enumerated().map { ($1.title, $0) })
    var cells = 0
    for each in KubernetesCase.networkPolicies + KubernetesCase.clusterPolicies {
      let yaml = cluster.objectsYAML + each.yaml
      try await arena.enter(cluster, labels: try Self.labels(yaml), policies: yaml)
      let attempts = KubernetesCase.probes.flatMap { probe in
        [true, false].compactMap { isIPv4 -> KubernetesArena.Attempt? in
          let (from, to) = ("\(probe.from.namespace)/\(probe.from.pod)", "\(probe.to.namespace)/\(probe.to.pod)")
          guard let source = places[from], let destination = places[to] else { return nil }
          return KubernetesArena.Attempt(
            from: source, to: destination,
            source: KubernetesCluster.text(cluster.pods[source].address, isIPv4: isIPv4),
            destination: KubernetesCluster.text(cluster.pods[destination].address, isIPv4: isIPv4),
            proto: probe.proto, port: UInt16(probe.port), isExpected: each.allows(probe))
        }
      }
      let wrong = try arena.surprises(attempts)
      cells += attempts.count
      #expect(wrong.isEmpty, "\(each): \(wrong.count) of \(attempts.count), first \(wrong.prefix(1))")
    }
    #expect(cells == 576 * (KubernetesCase.networkPolicies.count + KubernetesCase.clusterPolicies.count))
    print("conformance: \(cells) cells enforced, \(cells) right unless a failure says otherwise")
  }

  @Test("what is enforced is what is answered offline, in every cell of random clusters")
  func random() async throws {
    let arena = try KubernetesArena(policed)
    let isLong = unsafe getenv("SALLYPORT_CLUSTERS") != nil
    var generator = SeededGenerator(seed: isLong ? UInt64(truncatingIfNeeded: time(nil)) : 7)
    var (cells, refused) = (0, 0)
    for _ in 0..<Self.clusters {
      let seed = generator.next()
      let cluster = KubernetesCluster(seed: seed)
      var offline = try OfflinePolicy(
        PolicyParser.parse(files: [("cluster.yaml", Array(cluster.yaml.utf8))]).policy)
      try await arena.enter(cluster, labels: try Self.labels(cluster.yaml), policies: cluster.yaml)
      let attempts = try Self.attempts(cluster, &offline)
      let wrong = try arena.surprises(attempts)
      cells += attempts.count
      refused += attempts.count { !$0.isExpected }
      guard wrong.isEmpty else {
        Issue.record(
          "seed \(seed): \(wrong.count) of \(attempts.count) cells, first \(wrong[0])\n\(cluster.yaml)")
        return
      }
    }
    #expect(refused > cells / 20)
    print("random: \(Self.clusters) clusters, \(cells) cells, \(refused) refused, enforced = offline in all")
  }

  /// All pairs of pods and the stranger, in the families of the cluster, as they are answered offline.
  private static func attempts(
    _ cluster: KubernetesCluster, _ offline: inout OfflinePolicy
  ) throws -> [KubernetesArena.Attempt] {
    let pods = cluster.pods.enumerated().map { (place: Int?.some($0), name: Optional($1.title), address: $1.address) }
    let ends = pods + [(place: nil, name: nil, address: KubernetesArena.stranger)]
    var attempts: [KubernetesArena.Attempt] = []
    for source in ends {
      for destination in ends where source.place != destination.place {
        for isIPv4 in [true, false] where cluster.families == .both || isIPv4 == (cluster.families == .ipv4) {
          for (proto, port) in KubernetesCluster.probes where proto != "SCTP" {
            // A stranger is asked about by its address.
            let from = KubernetesCluster.text(source.address, isIPv4: isIPv4)
            let to = KubernetesCluster.text(destination.address, isIPv4: isIPv4)
            let asking = try offline.end(source.name ?? from)
            let asked = try offline.end(destination.name ?? to)
            let (outgoing, incoming) = offline.decisions(
              from: asking, to: asked, protocol: proto == "TCP" ? .tcp : .udp, port: UInt16(port))
            attempts.append(
              KubernetesArena.Attempt(
                from: source.place, to: destination.place, source: from, destination: to, proto: proto,
                port: UInt16(port), isExpected: outgoing?.action != .reject && incoming?.action != .reject))
          }
        }
      }
    }
    return attempts
  }

  /// The labels of every pod, as text.
  private static func labels(_ yaml: String) throws -> [String: String] {
    let policy = try PolicyParser.parse(files: [("cluster.yaml", Array(yaml.utf8))]).policy
    return Dictionary(uniqueKeysWithValues: policy.pods.map { ($0.title, $0.labels.description) })
  }
}
