// Who is where on this host: network namespaces, what is local in each, and who waits for packets there.
package import Enforcement
package import Kernel
package import Policy
package import SystemPackage

/// Whose a socket or process is to policy.
package enum HostOwner: Sendable, Hashable {
  /// A labelled cgroup.
  case workload(CgroupID)
  /// A cgroup without labels of its own below a workload that rejects such children.
  case child(CgroupID)
  /// Something without labels, below the cgroup that is enforced on.
  case host
  /// Something that is not below that cgroup: others see it as the host, and nothing is judged on its behalf.
  case outside
}

/// What receives packets at an address.
package enum HostReceiver: Sendable, Hashable {
  /// Sockets of these owners: the kernel chooses one of several by a hash.
  case owners(Set<HostOwner>)
  /// Nothing.
  case nothing
}

/// A look at the namespaces and sockets of this host, as the kernel resolves them.
///
/// It holds while nothing changes: look anew for each question that matters.
package struct HostMap: Sendable {
  /// One network namespace.
  package struct Space: Sendable {
    /// The namespace.
    package let namespace: NetworkNamespace
    /// Whose processes live in it.
    package fileprivate(set) var members: Set<HostOwner> = []
  }

  /// All namespaces in which something lives, the caller's own first.
  package private(set) var spaces: [Space] = []
  private let workloads: [CgroupID: WorkloadInstance]
  private let byPath: [(path: FilePath, id: CgroupID)]
  private let root: FilePath
  private let hierarchy: CgroupHierarchy
  private var owners: [CgroupID: HostOwner] = [:]
  private var sockets: [Int: [SocketEntry]] = [:]
  private var routes: [Int: [IPAddress: NetworkRoute]] = [:]

  /// Looks at every process of the host and every named namespace.
  package static func look(at workloads: [WorkloadInstance], enforcedOn location: FilePath) throws(KernelError)
    -> HostMap
  {
    let hierarchy = try CgroupHierarchy.find()
    var map = HostMap(workloads, try hierarchy.directory(mountedAt: location).path, hierarchy)
    try map.findSpaces()
    return map
  }

  private init(_ workloads: [WorkloadInstance], _ root: FilePath, _ hierarchy: CgroupHierarchy) {
    self.workloads = Dictionary(workloads.map { ($0.cgroup, $0) }, uniquingKeysWith: { $1 })
    byPath = workloads.map { (FilePath($0.path), $0.cgroup) }
    self.root = root
    self.hierarchy = hierarchy
  }

  private mutating func findSpaces() throws(KernelError) {
    var found: [NetworkNamespace.Identity: Int] = [:]
    func note(_ namespace: NetworkNamespace, _ owner: HostOwner?, _ spaces: inout [Space]) {
      let index: Int
      if let known = found[namespace.identity] {
        index = known
      } else {
        index = spaces.count
        found[namespace.identity] = index
        spaces.append(Space(namespace: namespace))
      }
      if let owner { spaces[index].members.insert(owner) }
    }
    var spaces: [Space] = []
    note(try NetworkNamespace.current(), nil, &spaces)
    for id in try ProcessID.all() {
      guard let process = try? ProcessHandle.open(id), let namespace = try? NetworkNamespace.of(process),
        let membership = try? CgroupHierarchy.membership(of: id)
      else { continue }
      note(namespace, owner(at: membership.path), &spaces)
    }
    // Threads may be in other cgroups and namespaces than their process.
    for (id, workload) in workloads {
      guard let directory = try? hierarchy.directory(at: FilePath(workload.path)), directory.id == id else { continue }
      for thread in (try? directory.threads()) ?? [] {
        guard let namespace = try? NetworkNamespace.open(FilePath("/proc/\(thread)/ns/net")) else { continue }
        note(namespace, .workload(id), &spaces)
      }
    }
    // Those that ip-netns(8) named, also when nothing lives in them.
    for name in (try? directoryNames("/run/netns")) ?? [] {
      guard let namespace = try? NetworkNamespace.open(FilePath("/run/netns/\(name)")) else { continue }
      note(namespace, nil, &spaces)
    }
    self.spaces = spaces
  }

  // MARK: Owners

  /// Whose a path below the root of the hierarchy is.
  package func owner(at path: FilePath) -> HostOwner {
    guard path.starts(with: root) else { return .outside }
    let above = byPath.filter { path.starts(with: $0.path) }
    guard let nearest = above.max(by: { $0.path.components.count < $1.path.components.count }) else { return .host }
    let isChild = workloads[nearest.id]?.rejectsUnlabelledChildren == true && nearest.path != path
    return isChild ? .child(nearest.id) : .workload(nearest.id)
  }

  /// Whose the sockets are that a cgroup made.
  package mutating func owner(of cgroup: CgroupID) -> HostOwner {
    if let known = owners[cgroup] { return known }
    // One that is gone has no labels any more.
    let path = (try? hierarchy.directory(id: cgroup))??.path
    let found = path.map { owner(at: $0) } ?? .host
    owners[cgroup] = found
    return found
  }

  /// The workload of an owner; nil for the host and what is outside.
  package func workload(of owner: HostOwner) -> WorkloadInstance? {
    switch owner {
    case .workload(let id), .child(let id): workloads[id]
    case .host, .outside: nil
    }
  }

  /// The namespaces in which an owner's processes live.
  package func spaces(of owner: HostOwner) -> [Int] { spaces.indices.filter { spaces[$0].members.contains(owner) } }

  // MARK: Addresses

  /// What the kernel does with a packet to an address from a namespace.
  package mutating func route(from space: Int, to address: IPAddress) -> NetworkRoute {
    if let known = routes[space]?[address] { return known }
    let found = (try? spaces[space].namespace.routes(to: [address.networkBytes]).first) ?? NetworkRoute.none
    routes[space, default: [:]][address] = found
    return found
  }

  /// The namespaces of which an address is one's own; of loopback addresses none, because they are every one's.
  package mutating func spaces(with address: IPAddress) -> [Int] {
    guard !address.isLoopback, !address.isUnspecified else { return [] }
    return spaces.indices.filter { route(from: $0, to: address).kind == .local }
  }

  // MARK: Sockets

  private mutating func waiting(in space: Int) -> [SocketEntry] {
    if let known = sockets[space] { return known }
    let found = (try? SocketDiagnostics.open(in: spaces[space].namespace).list(states: .waiting)) ?? []
    let receiving = found.filter { $0.local.port != 0 && ($0.protocol == IPProtocol.udp.rawValue || $0.state == 10) }
    sockets[space] = receiving
    return receiving
  }

  /// Who receives what comes for an address and port of a namespace, by the kernel's own order: the address before the
  /// wildcard, a socket of the interface before one of any, IPv4 before IPv6.
  ///
  /// `interface` is the one that it comes by: 1, loopback, from within the namespace; 0 = not known.
  package mutating func receiver(
    in space: Int, at address: IPAddress, _ proto: IPProtocol, _ port: UInt16, by interface: UInt32 = 1
  ) -> HostReceiver {
    let candidates = waiting(in: space).filter { socket in
      socket.protocol == proto.rawValue && socket.local.port == port && socket.remote.port == 0
        && (socket.interface == 0 || interface == 0 || socket.interface == interface)
        && socket.receives(address)
    }
    guard let best = candidates.map({ $0.suitability(for: address) }).max() else { return .nothing }
    var found: Set<HostOwner> = []
    for socket in candidates where socket.suitability(for: address) == best {
      found.insert(socket.cgroup.map { owner(of: $0) } ?? .host)
    }
    return .owners(found)
  }

  /// Who made the sockets at an address and port, waiting or not: who speaks from there.
  package mutating func speakers(in space: Int, at address: IPAddress, _ port: UInt16) -> Set<HostOwner> {
    let all = (try? SocketDiagnostics.open(in: spaces[space].namespace).list()) ?? []
    var found: Set<HostOwner> = []
    for socket in all where socket.local.port == port && socket.receives(address) {
      if let cgroup = socket.cgroup { found.insert(owner(of: cgroup)) }
    }
    return found
  }
}

extension SocketEntry {
  private var localAddress: IPAddress { IPAddress(high: local.high, low: local.low) }
  private var isWildcard: Bool { localAddress.isUnspecified }

  fileprivate func receives(_ address: IPAddress) -> Bool {
    if localAddress == address { return true }
    guard isWildcard else { return false }
    return family == 2 ? address.isIPv4 : !address.isIPv4 || !isIPv6Only
  }

  /// How well it suits, as `compute_score` has it for sockets that receive: more is better.
  fileprivate func suitability(for address: IPAddress) -> Int {
    (isWildcard ? 0 : 4) + (interface == 0 ? 0 : 2) + (family == 2 ? 1 : 0)
  }
}

extension IPAddress {
  /// 4 or 16 bytes in network order.
  package var networkBytes: [UInt8] {
    let all = bytes
    return (isIPv4 ? 12..<16 : 0..<16).map { all[$0] }
  }

  /// Whether it is each namespace's own: 127.0.0.0/8 or ::1.
  package var isLoopback: Bool { ipv4.map { $0 >> 24 == 127 } ?? (high == 0 && low == 1) }

  /// 0.0.0.0 or ::.
  package var isUnspecified: Bool { high == 0 && (low == 0 || low == 0xffff_0000_0000) }
}
