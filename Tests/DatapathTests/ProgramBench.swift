// The loaded programs with a policy in force, seven subjects to ask about, and packets run through them.
import BPF
import CDatapath
import Enforcement
import Glibc
import Kernel
import Logging
import Policy
import SystemPackage
import TestSupport

/// A sandbox whose cgroup has the programs attached, with workloads in threaded cgroups below it.
final class ProgramBench: Sendable {
  /// The subjects: workloads first, the host last.
  static let workloadCount = 6
  /// The one that may have no labels of its own, below a workload that rejects such children.
  static let orphan = 5

  let sandbox: Sandbox
  let enforcer: Enforcer
  let datapath: any KernelDatapath
  private let egress: BPFProgram
  private let ingress: BPFProgram
  let senders: BPFMap<sp_handoff_key, sp_handoff>
  private let workers: [Worker]
  let cgroups: [CgroupDirectory]
  /// Above the last workload's cgroup.
  private let parent: CgroupDirectory
  /// Where all subjects are.
  let inside: NetworkNamespace
  /// Held open: without its namespace the veth pair is gone.
  private let outside: NetworkNamespace
  private let interface: UInt32
  private let directory: String

  init(_ sandbox: Sandbox) throws {
    self.sandbox = sandbox
    let inside = try sandbox.makeNamespace()
    self.inside = inside
    outside = try sandbox.makeNamespace()
    try sandbox.connect(inside, ["10.99.0.1/24"], outside, ["10.99.0.2/24"])
    interface = try inside.run { UInt32(unsafe if_nametoindex("sp0")) }
    var cgroups: [CgroupDirectory] = []
    parent = try sandbox.makeThreadedCgroup("parent")
    for index in 0...Self.workloadCount {
      guard index == Self.orphan else {
        cgroups.append(try sandbox.makeThreadedCgroup("w\(index)"))
        continue
      }
      let child = try parent.create("child")
      try child.makeThreaded()
      cgroups.append(child)
    }
    self.cgroups = cgroups
    directory = "/tmp/sallyport-test-\(getpid())-\(sandbox.cgroup.id.rawValue)"
    let state = StateDirectory(directory)
    let pins = try sandbox.makePinDirectory()
    guard let place = try CgroupHierarchy.find().location(of: sandbox.cgroup.path)?.string else { throw WorkerIsGone() }
    datapath = try DatapathKind.underTest.open(.init(cgroup: place, bpffs: pins), state: state)
    try datapath.police([inside, outside])
    enforcer = Enforcer(datapath: datapath, state: state, cgroup: place, logger: Logger(label: "test"))
    let root = datapath.pins
    switch datapath.kind {
    case .cgroup:
      egress = try BPFProgram.pinned("\(root)/programs/sp_egress")
      ingress = try BPFProgram.pinned("\(root)/programs/sp_ingress")
    case .netfilter:
      egress = try BPFProgram.pinned("\(root)/programs/sp_nf_output")
      ingress = try BPFProgram.pinned("\(root)/programs/sp_nf_input")
    }
    senders = try BPFMap.pinned("\(root)/maps/sp_handoffs")
    workers = try cgroups.map { try Worker.start(sandbox, in: $0, namespace: inside) }
  }

  /// Ends the threads and the enforcement.
  func close() async throws {
    for worker in workers { worker.stop() }
    try await enforcer.detach()
    try? sandbox.command(["rm", "-rf", directory])
  }

  /// The addresses at which the other namespaces reach a workload.
  static func address(of workload: Int, isIPv4: Bool) -> IPAddress {
    isIPv4
      ? IPAddress(ipv4: 0xc0a8_6400 + UInt32(workload) + 1)
      : IPAddress(high: 0xfd00_0000_0000_0000, low: UInt64(workload) + 1)
  }

  /// Whether packets of a direction can be run without the sockets that they come to.
  func runs(_ direction: Direction) -> Bool { direction == .outgoing || datapath.kind == .cgroup }

  /// Runs packets through the programs as sockets of one subject; `true` = passes.
  func run(_ packets: [(direction: Direction, bytes: [UInt8])], as subject: Int) throws -> [Bool] {
    // A program of netfilter says what the rule is to do: 1 = refuse.
    let passes: UInt32 = datapath.kind == .cgroup ? 1 : 0
    return try workers[subject].run { [self] in
      try packets.map { packet in
        packet.direction == .outgoing
          ? try egress.testRun(packet: packet.bytes, context: context).returnValue == passes
          : try ingress.testRun(packet: packet.bytes, context: context).returnValue == passes
      }
    }
  }

  /// Does `body` as one of the subjects.
  func run<T: Sendable>(as subject: Int, _ body: @escaping @Sendable () throws -> T) throws -> T {
    try workers[subject].run(body)
  }

  /// Gives the workloads random labels and puts a policy in force; returns the labels.
  ///
  /// With `orphaning` the orphan's go to its parent, which rejects unlabelled children.
  func publish(
    _ policy: PolicySet, observing observer: Int? = nil, orphaning: Bool = false,
    using random: inout SeededGenerator
  ) async throws -> [LabelSet] {
    let labels = try (0..<Self.workloadCount).map { _ in try RandomPolicy.labels(&random) }
    _ = try await enforcer.update(
      workloads: labels.indices.map { index in
        let isOrphan = orphaning && index == Self.orphan
        let cgroup = isOrphan ? parent : cgroups[index]
        return WorkloadInstance(
          cgroup: cgroup.id, path: cgroup.path.string, level: cgroup.level, labels: labels[index],
          observe: index == observer, rejectsUnlabelledChildren: isOrphan, source: "test",
          addresses: [true, false].map { Self.address(of: index, isIPv4: $0) })
      })
    _ = try await enforcer.apply(policy: policy, sources: [])
    return labels
  }

  /// The cgroup under which a subject is counted.
  func counted(_ subject: Int, orphaning: Bool) -> CgroupID {
    orphaning && subject == Self.orphan ? parent.id : cgroups[subject].id
  }

  /// A struct __sk_buff that says only through which interface: its 11th word is `ifindex` (linux/bpf.h).
  private var context: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 40)
    unsafe withUnsafeBytes(of: interface) { unsafe bytes.append(contentsOf: $0) }
    return bytes
  }
}
