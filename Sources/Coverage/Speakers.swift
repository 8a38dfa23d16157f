// The workloads of the probe, by what policy lets them do.
internal import Kernel
internal import SystemPackage

/// Who speaks in the probes.
struct Speakers: Sendable {
  /// May send to anybody, and the server lets it in.
  let friend: Speaker
  /// The server would let it in, but it may send to nobody.
  let confined: Speaker
  /// May send to anybody, but the server does not let it in.
  let intruder: Speaker
  /// Whom all want to reach; may send to nobody.
  let server: Speaker
  /// A friend until policy tightens.
  let guest: Speaker
  /// Has no labels: the host.
  let host: Speaker

  /// Starts them, each in a cgroup of its own name.
  init(below cgroup: CgroupDirectory) throws {
    friend = try Self.start("friend", cgroup, nil)
    let cpu = friend.cpu
    confined = try Self.start("confined", cgroup, cpu)
    intruder = try Self.start("intruder", cgroup, cpu)
    server = try Self.start("server", cgroup, cpu)
    guest = try Self.start("guest", cgroup, cpu)
    host = try Self.start("host", cgroup, cpu)
  }

  private static func start(_ name: FilePath.Component, _ cgroup: CgroupDirectory, _ cpu: Int32?) throws -> Speaker {
    try Speaker(in: cgroup.create(name), cpu: cpu)
  }

  /// Those that have labels, and the value of their label `probe`.
  var labelled: [(speaker: Speaker, name: String)] {
    [(friend, "friend"), (confined, "confined"), (intruder, "intruder"), (server, "server"), (guest, "guest")]
  }

  /// Ends their processes.
  func stop() {
    for speaker in [friend, confined, intruder, server, guest, host] { speaker.stop() }
  }
}
