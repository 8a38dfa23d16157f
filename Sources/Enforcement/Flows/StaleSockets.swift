// Sockets that a process opened before it came to be what it is now: found, cut, or made to speak for it.

package import Kernel
internal import SystemPackage

/// A socket that a process holds and that speaks for another workload than the process belongs to.
package struct StaleSocket: Sendable {
  /// The process.
  package let process: ProcessID
  /// The descriptor's number in the process; nil for a connection that waits in a listener to be accepted.
  package let descriptor: Int32?
  /// The socket's inode number, as `/proc/PID/fd` shows it; 0 for one that waits to be accepted.
  package let inode: UInt64
  /// The socket as sock_diag lists it; nil for what it does not list (raw sockets, SCTP, …), whose creator nobody tells.
  package let socket: SocketEntry?
  /// Whom it speaks for; nil if that is not known.
  package let speaksFor: PolicedSubject?
  /// Where it works.
  package let namespace: NetworkNamespace
}

/// Finds and treats the sockets that processes opened before they were moved or labelled.
package struct StaleSockets: Sendable {
  /// What became of sockets that were to speak for somebody else.
  package struct Retagging: Sendable, Equatable {
    /// Sockets that speak for the process's workload now.
    package var retagged = 0
    /// Connections that waited to be accepted and were cut, because nobody holds a descriptor of them.
    package var cut = 0
    /// Sockets that were closed meanwhile.
    package var gone = 0
    /// What failed, each a line for people.
    package var failures: [String] = []

    /// Nothing done.
    package init() {}
  }

  /// What became of sockets that were to be destroyed.
  package struct Cutting: Sendable, Equatable {
    /// Sockets that the kernel destroyed.
    package var destroyed = 0
    /// Sockets that were gone before.
    package var gone = 0
    /// What failed, each a line for people.
    package var failures: [String] = []

    /// Nothing done.
    package init() {}
  }

  private let owner: @Sendable (CgroupID) -> PolicedSubject?
  private let retags: RetagTable?

  /// Resolves cgroups by `owner`, as `RevocationRules.subject` does.
  ///
  /// That is the subject by the nearest labelled ancestor, nil outside of what is enforced on. `retags` comes from
  /// `CgroupDatapath.retags()`; nil knows of no retagged sockets and makes none.
  package init(retags: RetagTable?, owner: @escaping @Sendable (CgroupID) -> PolicedSubject?) {
    self.retags = retags
    self.owner = owner
  }

  /// The sockets of a process that speak for another workload than `subject`, which is what the process is now.
  ///
  /// Costs one dump of each network namespace that its sockets work in. Throws ESRCH if the process is gone.
  package func list(
    of process: borrowing ProcessHandle, being subject: PolicedSubject
  ) throws(KernelError) -> [StaleSocket] {
    let held = try process.socketDescriptors()
    guard !held.isEmpty else { return [] }
    let namespace = try NetworkNamespace.of(process)
    var searched = [namespace]
    var rest = held
    var stale: [StaleSocket] = []
    var done = 0
    while done < searched.count {
      let namespace = searched[done]
      let listed = try SocketDiagnostics.open(in: namespace).list(storage: retags?.storageInUse)
      rest = search(listed, namespace, rest, process, subject, &stale)
      done += 1
      // What is left works in another namespace, is of another family, or of what sock_diag does not list.
      if done == searched.count { rest = try explain(rest, process, subject, &searched, &stale) }
    }
    return stale
  }

  /// Takes what a namespace lists; returns the descriptors that it does not.
  private func search(
    _ listed: [SocketEntry], _ namespace: NetworkNamespace, _ held: [SocketDescriptor],
    _ process: borrowing ProcessHandle, _ subject: PolicedSubject, _ stale: inout [StaleSocket]
  ) -> [SocketDescriptor] {
    let retags = retags?.storageInUse == nil ? nil : retags
    var byInode: [UInt64: SocketEntry] = [:]
    for entry in listed where entry.inode != 0 { byInode[UInt64(entry.inode)] = entry }
    var rest: [SocketDescriptor] = []
    var listeners: [SocketEntry] = []
    for descriptor in held {
      guard let entry = byInode[descriptor.inode] else {
        rest.append(descriptor)
        continue
      }
      var own = entry.subject(owner)
      // A list of UDP sockets leaves their storage out.
      if let retags, entry.protocol == 17, let copy = try? process.copyDescriptor(descriptor.number),
        (try? copy.socketCookie()) == entry.cookie, let named = retags.subject(of: copy, owner)
      {
        own = named
      }
      guard own != subject else { continue }
      if entry.state == 10 { listeners.append(entry) }
      stale.append(
        StaleSocket(
          process: process.id, descriptor: descriptor.number, inode: descriptor.inode, socket: entry, speaksFor: own,
          namespace: namespace))
    }
    guard !listeners.isEmpty else { return rest }
    // Nobody holds a descriptor of them yet; they have the cgroup and the port of their listener.
    for entry in listed where entry.inode == 0 && entry.state == 1 {
      guard listeners.contains(where: { entry.isWaiting(in: $0) }) else { continue }
      stale.append(
        StaleSocket(
          process: process.id, descriptor: nil, inode: 0, socket: entry, speaksFor: entry.subject(owner),
          namespace: namespace))
    }
    return rest
  }

  /// Sorts out what no namespace searched so far lists: adds other namespaces to `searched`, and what is in none of them
  /// to `stale`; returns the descriptors to look for in the new ones.
  private func explain(
    _ rest: [SocketDescriptor], _ process: borrowing ProcessHandle, _ subject: PolicedSubject,
    _ searched: inout [NetworkNamespace], _ stale: inout [StaleSocket]
  ) throws(KernelError) -> [SocketDescriptor] {
    let done = searched.count
    var later: [SocketDescriptor] = []
    for descriptor in rest {
      let copy: OwnedDescriptor
      do {
        copy = try process.copyDescriptor(descriptor.number)
      } catch {
        // Closed meanwhile.
        if error.errno == .badFileDescriptor { continue }
        throw error
      }
      // Only AF_INET and AF_INET6 pass policy; the number may have come to mean something else than a socket.
      guard let family = try? copy.socketFamily(), family == 2 || family == 10,
        let namespace = try? NetworkNamespace.of(socket: copy)
      else { continue }
      let place = searched.firstIndex { $0.identity == namespace.identity }
      if let place, place < done {
        let own = retags?.subject(of: copy, owner)
        guard own != subject else { continue }
        stale.append(
          StaleSocket(
            process: process.id, descriptor: descriptor.number, inode: descriptor.inode, socket: nil, speaksFor: own,
            namespace: namespace))
      } else {
        if place == nil { searched.append(namespace) }
        later.append(descriptor)
      }
    }
    return later
  }

  // MARK: Treating

  /// Destroys sockets; their holders see ECONNABORTED.
  ///
  /// One that sock_diag does not list cannot be destroyed: what it sends is judged by its creator, and a connect() by its
  /// holder too. It is among `failures`.
  package func cut(_ stale: [StaleSocket]) -> Cutting {
    var result = Cutting()
    var namespaces: [NetworkNamespace.Identity: (namespace: NetworkNamespace, sockets: [SocketEntry])] = [:]
    for socket in stale {
      guard let entry = socket.socket else {
        result.failures.append("descriptor \(socket.descriptor ?? -1) of process \(socket.process): not listed")
        continue
      }
      namespaces[socket.namespace.identity, default: (socket.namespace, [])].sockets.append(entry)
    }
    for (namespace, sockets) in namespaces.values {
      do throws(KernelError) {
        let outcome = try SocketDiagnostics.open(in: namespace).destroy(sockets)
        result.destroyed += outcome.destroyed
        result.gone += outcome.gone
        result.failures += outcome.failed.map { "destroy socket \($0.socket.cookie): error \($0.error)" }
      } catch {
        result.failures.append("\(error)")
      }
    }
    return result
  }

  /// Makes sockets of a process, and what they accept from now on, speak for `subject`, and has their conversations judged
  /// again; the connections that policy does not allow them now are left to a pass of the `Revoker`.
  ///
  /// A socket that the process shares with others (fork, SCM_RIGHTS) speaks for `subject` in their hands too. Connections
  /// that wait to be accepted are cut: nobody holds a descriptor of them.
  package func retag(
    _ stale: [StaleSocket], of process: borrowing ProcessHandle, being subject: PolicedSubject, by enforcer: Enforcer
  ) async throws -> Retagging {
    var result = Retagging()
    guard let retags, !stale.isEmpty else { return result }
    try await enforcer.beginRetagging(to: subject.workload)
    for socket in stale {
      guard let number = socket.descriptor else { continue }
      do {
        let copy = try process.copyDescriptor(number)
        if let entry = socket.socket, try copy.socketCookie() != entry.cookie {
          result.gone += 1
          continue
        }
        // Whoever made it for the same workload speaks for it without a storage.
        if let cgroup = socket.socket?.cgroup, owner(cgroup) == subject {
          try retags.clear(copy)
        } else {
          try retags.set(subject, for: copy)
        }
        result.retagged += 1
      } catch let error as KernelError where error.errno == .badFileDescriptor || error.errno == .noSuchProcess {
        result.gone += 1
      } catch {
        result.failures.append("\(error)")
      }
    }
    let waiting = cut(stale.filter { $0.descriptor == nil })
    result.cut = waiting.destroyed
    result.gone += waiting.gone
    result.failures += waiting.failures
    try await enforcer.rejudgeConversations()
    return result
  }
}

extension SocketEntry {
  /// Whether this connection waits to be accepted from `listener`.
  fileprivate func isWaiting(in listener: SocketEntry) -> Bool {
    let anywhere = listener.local.high == 0 && (listener.local.low == 0 || listener.local.low == 0xffff << 32)
    return listener.protocol == `protocol` && listener.local.port == local.port && listener.cgroup == cgroup
      && (anywhere || listener.local == local)
  }
}
