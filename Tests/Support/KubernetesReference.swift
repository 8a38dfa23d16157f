// What Kubernetes says of a connection, straight from the public descriptions of its policies: no code of the product.

extension KubernetesCluster {
  /// One end of a connection.
  package enum End: Sendable {
    case pod(Pod)
    /// An address that no pod has, by its last 32 bits.
    case stranger(UInt32)

    var address: UInt32 {
      switch self {
      case .pod(let pod): pod.address
      case .stranger(let address): address
      }
    }
  }

  /// Whether a connection may be made: going out at the source and coming in at the destination.
  package func allows(from source: End, to destination: End, proto: String, port: Int) -> Bool {
    if case .pod(let one) = source, case .pod(let other) = destination, one.title == other.title { return true }
    var allowed = true
    if case .pod(let pod) = source {
      allowed = isAllowed(pod, destination, destination, isIngress: false, proto, port)
    }
    if case .pod(let pod) = destination, allowed {
      allowed = isAllowed(pod, source, destination, isIngress: true, proto, port)
    }
    return allowed
  }

  /// What the policies of one pod say to one direction.
  ///
  /// Three tiers in turn: Admin, the NetworkPolicies, Baseline; then Kubernetes' default, which is to allow.
  package func isAllowed(
    _ pod: Pod, _ peer: End, _ destination: End, isIngress: Bool, _ proto: String, _ port: Int
  ) -> Bool {
    if let decided = decision("Admin", pod, peer, destination, isIngress, proto, port) { return decided }
    let selecting = policies.filter { policy in
      policy.namespace == pod.namespace && matches(policy.pods, pod.labels) && isAbout(policy, isIngress)
    }
    if !selecting.isEmpty {
      for policy in selecting {
        for rule in (isIngress ? policy.ingress : policy.egress) ?? [] {
          let isPeer =
            rule.peers.map { list in
              list.isEmpty || list.contains { matches($0, peer, ownNamespace: policy.namespace) }
            } ?? true
          if isPeer && matches(rule.ports, destination, proto, port) { return true }
        }
      }
      return false
    }
    return decision("Baseline", pod, peer, destination, isIngress, proto, port) ?? true
  }

  /// Without policyTypes a policy is about incoming traffic, and about outgoing traffic if it has rules for that.
  private func isAbout(_ policy: NetworkPolicy, _ isIngress: Bool) -> Bool {
    if let types = policy.types, !types.isEmpty { return types.contains(isIngress ? "Ingress" : "Egress") }
    return isIngress || !(policy.egress ?? []).isEmpty
  }

  private func decision(
    _ tier: String, _ pod: Pod, _ peer: End, _ destination: End, _ isIngress: Bool, _ proto: String, _ port: Int
  ) -> Bool? {
    if pod.isHostNetworked { return nil }
    let ordered = clusterPolicies.filter { $0.tier == tier }.sorted { ($0.priority, $0.name) < ($1.priority, $1.name) }
    for policy in ordered {
      guard matches(policy.namespaces, namespaces[pod.namespace] ?? [:], name: pod.namespace),
        policy.pods.map({ matches($0, pod.labels) }) ?? true
      else { continue }
      for rule in isIngress ? policy.ingress : policy.egress {
        guard (rule.peers ?? []).contains(where: { matches($0, peer, ownNamespace: nil) }),
          rule.ports == nil || matches(rule.ports, destination, proto, port)
        else { continue }
        switch rule.action {
        case "Accept": return true
        case "Deny": return false
        default: return nil
        }
      }
    }
    return nil
  }

  private func matches(_ query: Query, _ labels: [String: String], name: String? = nil) -> Bool {
    var labels = labels
    if let name { labels["kubernetes.io/metadata.name"] = name }
    for (key, value) in query.labels where labels[key] != value { return false }
    for expression in query.expressions {
      let value = labels[expression.key]
      switch expression.word {
      case "In": if value == nil || !expression.values.contains(value ?? "") { return false }
      case "NotIn": if value != nil && expression.values.contains(value ?? "") { return false }
      case "Exists": if value == nil { return false }
      default: if value != nil { return false }
      }
    }
    return true
  }

  /// - Parameter ownNamespace: that of a NetworkPolicy; nil for a ClusterNetworkPolicy, whose peers leave pods in the
  ///   network of their node out.
  private func matches(_ peer: Peer, _ end: End, ownNamespace: String?) -> Bool {
    switch peer {
    case .pods(let scope, let pods):
      guard case .pod(let pod) = end else { return false }
      if ownNamespace == nil && pod.isHostNetworked { return false }
      if let scope {
        if !matches(scope, namespaces[pod.namespace] ?? [:], name: pod.namespace) { return false }
      } else if let ownNamespace, pod.namespace != ownNamespace {
        return false
      }
      return pods.map { matches($0, pod.labels) } ?? true
    case .blocks(let blocks):
      return blocks.contains { block in
        Self.contains(block.base, block.length, end.address)
          && !block.except.contains { Self.contains($0.base, $0.length, end.address) }
      }
    }
  }

  private static func contains(_ base: UInt32, _ length: Int, _ address: UInt32) -> Bool {
    for bit in 0..<length where (base >> UInt32(31 - bit)) & 1 != (address >> UInt32(31 - bit)) & 1 { return false }
    return true
  }

  private func matches(_ ports: [PortRule]?, _ destination: End, _ proto: String, _ port: Int) -> Bool {
    guard let ports, !ports.isEmpty else { return true }
    return ports.contains { rule in
      if let name = rule.name {
        guard case .pod(let pod) = destination, rule.proto == nil || rule.proto == proto else { return false }
        return pod.ports.first { $0.name == name && $0.proto == proto }?.number == port
      }
      if (rule.proto ?? "TCP") != proto { return false }
      guard let first = rule.number else { return true }
      return first <= port && port <= (rule.end ?? first)
    }
  }
}
