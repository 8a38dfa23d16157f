// Where the probes are made: a datapath of its own on a cgroup of its own, with workloads that live there meanwhile.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Logging
internal import Policy
internal import Synchronization
internal import SystemPackage

/// Everything that one run of the probes needs; `close()` removes all of it.
final class Arena: Sendable {
  /// The cgroup of the datapath.
  let cgroup: CgroupDirectory
  let places: Places
  let speakers: Speakers
  let datapath: any KernelDatapath
  let enforcer: Enforcer
  private let state: StateDirectory
  private let own = Mutex(Own())

  /// What changes while probes are made.
  private struct Own {
    var markers: [Route: Marker] = [:]
    var number: UInt16 = 20_000
  }

  /// Sockets whose datagrams tell that what was sent before them has arrived.
  private struct Marker {
    var sender: Voice
    var receiver: Voice
  }

  /// Makes it; what an earlier run left behind, because it was killed, goes first.
  ///
  /// - Parameters:
  ///   - parent: the cgroup below which it makes its own; nothing is attached to `parent`.
  ///   - state: a state directory of its own; its parent must be there.
  static func open(
    _ kind: DatapathKind, below parent: CgroupDirectory, state: StateDirectory, bpffs: String
  ) throws -> Arena {
    try removeRemains(of: state, bpffs: bpffs)
    guard let name = FilePath.Component("sallyport-coverage\(state.instance)") else {
      throw KernelError("name", state.instance, .invalidArgument)
    }
    try makeDirectory(state.path)
    let cgroup = try parent.create(name)
    do {
      try replaceFile(note(of: state), with: Array(cgroup.path.string.utf8))
      let speakers = try Speakers(below: cgroup)
      do {
        return try Arena(cgroup, speakers, kind, state, bpffs)
      } catch {
        speakers.stop()
        throw error
      }
    } catch {
      // The first error is the one to tell.
      try? removeRemains(of: state, bpffs: bpffs)
      throw error
    }
  }

  private init(
    _ cgroup: CgroupDirectory, _ speakers: Speakers, _ kind: DatapathKind, _ state: StateDirectory, _ bpffs: String
  ) throws {
    guard let location = cgroup.hierarchy.location(of: cgroup.path) else { throw Errno.noSuchFileOrDirectory }
    let options = DatapathOptions(cgroup: location.string, bpffs: bpffs, maxEntries: 1024)
    let places = try Places()
    let datapath = try kind.open(options, state: state)
    try datapath.police([places.home, places.left, places.right])
    self.cgroup = cgroup
    self.state = state
    self.speakers = speakers
    self.datapath = datapath
    enforcer = Enforcer(datapath: datapath, state: nil, cgroup: location.string, logger: Self.quiet())
    self.places = places
  }

  private static func quiet() -> Logger { Logger(label: "coverage") { _ in SwiftLogNoOpLogHandler() } }

  /// Ends enforcement and the processes, and removes what was made; goes on when something fails.
  func close() {
    own.withLock { $0.markers = [:] }
    speakers.stop()
    try? datapath.detach()
    try? Self.removeRemains(of: state, bpffs: nil)
  }

  /// Removes what is left of a run: pins (unless `bpffs` is nil: they went with the datapath), cgroup, state directory.
  ///
  /// - Throws: also when a probe runs right now.
  static func removeRemains(of state: StateDirectory, bpffs: String?) throws {
    guard isThere(state.path) else { return }
    if let bpffs { try KernelState.remove(bpffs: bpffs, state: state) }
    if let path = try? readKernelFile(note(of: state)),
      let cgroup = try? CgroupHierarchy.find().directory(at: FilePath(path))
    {
      // Before kernel 5.14 there is no kill; the processes end with their parent anyway.
      try? cgroup.kill()
      try cgroup.remove()
    }
    for name in try directoryNames(state.path) { try removeFile("\(state.path)/\(name)") }
    try removeDirectory(state.path)
  }

  /// Where it is written which cgroup is the probe's.
  private static func note(of state: StateDirectory) -> FilePath { FilePath("\(state.path)/cgroup") }

  // MARK: Who, where

  /// One more process in a cgroup; its user stops it.
  func makeSpeaker(in cgroup: CgroupDirectory) throws -> Speaker { try Speaker(in: cgroup, cpu: speakers.friend.cpu) }

  /// A number that no other probe uses: a port, or a name.
  func number() -> UInt16 {
    own.withLock { own in
      own.number += 1
      return own.number
    }
  }

  /// Attaches, with policy and labels in force.
  func begin() async throws {
    try await enforcer.start()
    try await apply(guests: true)
    try await label()
  }

  /// Puts the policy in force that the probes rely on; `guests` says whether the guest is a friend.
  func apply(guests: Bool) async throws {
    let bytes = Array(ArenaPolicy.documents(guests: guests).utf8)
    let parsed = try PolicyParser.parse(files: [(name: "coverage.yaml", bytes: bytes)])
    _ = try await enforcer.apply(policy: parsed.policy, sources: [PolicySource(name: "coverage.yaml", bytes: bytes)])
  }

  /// Labels the speakers.
  private func label() async throws {
    let instances = try speakers.labelled.map { speaker, name in
      WorkloadInstance(
        cgroup: speaker.cgroup.id, path: speaker.cgroup.path.string, level: speaker.cgroup.level,
        labels: try LabelSet(parsing: "probe=\(name)"), source: "coverage",
        addresses: name == "server"
          ? [try IPAddress(parsing: Route.acrossIPv4.address), try IPAddress(parsing: Route.acrossIPv6.address)] : [])
    }
    _ = try await enforcer.update(setting: instances)
  }

  // MARK: In order

  /// Returns when everything that was sent on a route before has arrived or was dropped, and so have `answers` answers
  /// that it caused.
  ///
  /// A datagram of the friend's goes the same way, from the same CPU: queues keep the order. No time is waited for.
  func settle(_ route: Route, answers: Int = 0) throws {
    let marker = try marker(route)
    for _ in 0...answers {
      if let refusal = try marker.sender.send([0], to: route.address, 7) { throw refusal }
      _ = try marker.receiver.socket.receiveBytes(within: 2000)
    }
  }

  private func marker(_ route: Route) throws -> Marker {
    if let known = own.withLock({ $0.markers[route] }) { return known }
    let made = Marker(
      sender: try speakers.friend.socket(route.family, .datagram, in: places.sender(route)),
      receiver: try speakers.server.receiver(route.address, 7, in: places.server(route)))
    own.withLock { $0.markers[route] = made }
    return made
  }
}
