// What goes on in workloads right now: their processes, and the ports they listen on.
package import Enforcement
package import Kernel
internal import SystemPackage

/// A port that somebody listens on, or that a UDP socket is bound to without a peer.
package struct ListeningPort: Sendable, Hashable, Comparable {
  /// `tcp` or `udp`.
  package var `protocol`: String
  /// The port, host order.
  package var port: UInt16

  /// By protocol, then port.
  package static func < (left: ListeningPort, right: ListeningPort) -> Bool {
    (left.protocol, left.port) < (right.protocol, right.port)
  }
}

/// What goes on in one workload.
package struct WorkloadActivity: Sendable, Equatable {
  /// Its processes, those of labelled cgroups below it not counted.
  package var processes: [ProcessID] = []
  /// The ports that its sockets listen on, in whatever network namespace.
  package var ports: Set<ListeningPort> = []

  /// Nothing going on.
  package init() {}

  /// Looks at all these workloads at once.
  ///
  /// Sockets belong to the cgroup that made them, so a port is found also when its process has moved on. Ports in a
  /// namespace in which no process of any workload lives are not found.
  package static func read(
    of workloads: [WorkloadInstance], in hierarchy: CgroupHierarchy
  ) -> [CgroupID: WorkloadActivity] {
    let labelled = Set(workloads.map(\.cgroup))
    var activities: [CgroupID: WorkloadActivity] = [:]
    var owners: [CgroupID: CgroupID] = [:]
    var namespaces: [NetworkNamespace.Identity: NetworkNamespace] = [:]
    for workload in workloads {
      guard let directory = try? hierarchy.directory(id: workload.cgroup) else { continue }
      var activity = WorkloadActivity()
      visit(directory, besides: labelled) { cgroup in
        owners[cgroup.id] = workload.cgroup
        activity.processes += (try? cgroup.processes()) ?? []
      }
      for id in activity.processes {
        guard let process = try? ProcessHandle.open(id), let space = try? NetworkNamespace.of(process) else { continue }
        namespaces[space.identity] = space
      }
      activities[workload.cgroup] = activity
    }
    for space in namespaces.values {
      guard let sockets = try? SocketDiagnostics.open(in: space).list() else { continue }
      for socket in sockets where socket.isListening {
        guard let cgroup = socket.cgroup, let owner = owners[cgroup] else { continue }
        let name = socket.protocol == 6 ? "tcp" : "udp"
        activities[owner]?.ports.insert(ListeningPort(protocol: name, port: socket.local.port))
      }
    }
    return activities
  }

  /// A cgroup and everything below it that is not labelled itself.
  private static func visit(
    _ directory: CgroupDirectory, besides labelled: Set<CgroupID>, _ body: (CgroupDirectory) -> Void
  ) {
    body(directory)
    for name in (try? directory.childNames()) ?? [] {
      guard let child = try? directory.child(name), !labelled.contains(child.id) else { continue }
      visit(child, besides: labelled, body)
    }
  }
}

extension SocketEntry {
  /// TCP_LISTEN is 10; a bound UDP socket without a peer says TCP_CLOSE, 7 (net/tcp_states.h).
  fileprivate var isListening: Bool { state == (self.protocol == 6 ? 10 : 7) && local.port != 0 }
}
