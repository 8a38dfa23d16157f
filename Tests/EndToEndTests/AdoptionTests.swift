// Does enforcement outlive its agent, and end only when told to?

import BPF
import CDatapath
import FoundationEssentials
import Kernel
import Logging
import Policy
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(.requires(.root, .bpf, .cgroups, .pins), .serialized) struct AdoptionTests {
  /// A sandbox with a state directory and two labelled cgroups.
  struct Place {
    let sandbox: Sandbox
    let state: StateDirectory
    var options: DatapathOptions
    let workloads: [WorkloadInstance]

    var pins: PinnedState { PinnedState(bpffs: options.bpffs, state: state, kind: .cgroup) }

    func open() throws -> CgroupDatapath { try CgroupDatapath.open(options, state: state) }

    func enforcer(_ datapath: CgroupDatapath) -> Enforcer {
      Enforcer(
        datapath: datapath, state: state, cgroup: options.cgroup,
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
  }

  private func withPlace<T>(_ body: (Place) async throws -> T) async throws -> T {
    try await withSandbox { sandbox in
      let directory = try TemporaryDirectory()
      defer { withExtendedLifetime(directory) {} }
      let state = StateDirectory(directory.path)
      let hierarchy = try CgroupHierarchy.find()
      let location = try #require(hierarchy.location(of: sandbox.cgroup.path))
      let options = DatapathOptions(cgroup: location.string, bpffs: try sandbox.makePinDirectory())
      let workloads = try ["web", "api"].map { name in
        let cgroup = try sandbox.makeCgroup(name)
        return WorkloadInstance(
          cgroup: cgroup.id, path: cgroup.path.string, level: cgroup.level,
          labels: try LabelSet(parsing: "app=\(name)"), addresses: [try IPAddress(parsing: "192.0.2.1")])
      }
      let place = Place(sandbox: sandbox, state: state, options: options, workloads: workloads)
      defer { _ = try? KernelState.remove(bpffs: options.bpffs, state: state) }
      return try await body(place)
    }
  }

  private func source(port: Int) -> PolicySource {
    let text = """
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: api}
      spec:
        subject: app=api
        incoming: [{action: allow, peers: [{selector: app=web}, {network: corp}], ports: [tcp/\(port)], log: true}]
        outgoing: [{action: reject, peers: any, ports: [icmp/8, ip/47], mode: observe}]
      ---
      apiVersion: sallyport/v1
      kind: ExternalNetwork
      metadata: {name: corp}
      spec: {cidrs: [10.0.0.0/8, "!10.1.0.0/16", "2001:db8::/32"]}
      """
    return PolicySource(name: "api.yaml", bytes: Array(text.utf8))
  }

  private func apply(_ enforcer: Enforcer, port: Int) async throws -> Publication {
    let source = source(port: port)
    let parsed = try PolicyParser.parse(files: [(name: source.name, bytes: source.bytes)])
    return try await enforcer.apply(policy: parsed.policy, sources: [source])
  }

  @Test("the kernel holds exactly the rows that were compiled, in the slot in force")
  func rows() async throws {
    try await withPlace { place in
      let datapath = try place.open()
      #expect(datapath.holdings.isNew)
      let enforcer = place.enforcer(datapath)
      try await enforcer.start()
      _ = try await enforcer.update(workloads: place.workloads)
      for port in [80, 443, 8443] {
        let publication = try await apply(enforcer, port: port)
        let tables = try #require(try await enforcer.tables)
        let held = try datapath.contents(of: Slot(generation: publication.generation))
        #expect(held.cells == tables.cells)
        #expect(held.classes == tables.classes)
        #expect(held.portClasses == tables.portClasses)
        // Two workloads of different identities claim this address: nobody's to guess.
        let claimed = IPPrefix(try IPAddress(parsing: "192.0.2.1"))
        #expect(held.networks[claimed] == NetworkRow(identity: .unknown))
        #expect(held.networks.count == tables.prefixes.count + 1)
        #expect(try datapath.current().generation == publication.generation)
      }
      #expect(try datapath.current().workloads == (await enforcer.workloadRows))
      #expect(try datapath.counters().workloads.count == 2)
      #expect(try place.pins.names(in: "links") == Hook.all.map(\.program).sorted())
    }
  }

  @Test("an agent that dies leaves everything as it is, and its successor writes nothing")
  func restart() async throws {
    try await withPlace { place in
      var before: [SlotContents] = []
      var rows: [CgroupID: WorkloadRow] = [:]
      var ids: [UInt32] = []
      do {
        let datapath = try place.open()
        let enforcer = place.enforcer(datapath)
        try await enforcer.start()
        _ = try await apply(enforcer, port: 80)
        _ = try await enforcer.update(workloads: place.workloads)
        before = try Slot.allCases.map { try datapath.contents(of: $0) }
        rows = try datapath.current().workloads
        ids = try Hook.all.map { try PinnedLink.open(place.pins.link($0.program)).info().programID }
        #expect(throws: DatapathError.self) { try place.open() }
      }
      let seen = try #require(try PinnedInspection.read(bpffs: place.options.bpffs, state: place.state))
      #expect(seen.isEnforcing)
      #expect(seen.cgroup == place.sandbox.cgroup.id)
      #expect(seen.workloads == rows)
      #expect(seen.cells > 0)
      let datapath = try place.open()
      #expect(!datapath.holdings.isNew)
      #expect(Self.news(of: datapath).isEmpty)
      #expect(datapath.holdings.workloads == rows)
      let enforcer = place.enforcer(datapath)
      try await enforcer.start()
      let publication = try await apply(enforcer, port: 80)
      #expect(publication.rowsWritten == 0)
      #expect(try await enforcer.update(workloads: place.workloads).rowsWritten == 0)
      #expect(try Slot.allCases.map { try datapath.contents(of: $0) } == before)
      #expect(try Hook.all.map { try PinnedLink.open(place.pins.link($0.program)).info().programID } == ids)
    }
  }

  /// What a datapath tells beside the choice of programs, which is the kernel's.
  private static func news(of datapath: CgroupDatapath) -> [String] {
    datapath.notes.filter { !$0.hasPrefix("programs for kernels before ") }
  }

  @Test("programs with another configuration are replaced link by link, and the maps stay")
  func upgrade() async throws {
    try await withPlace { place in
      var place = place
      var links: [UInt32] = []
      var programs: [UInt32] = []
      do {
        let enforcer = place.enforcer(try place.open())
        try await enforcer.start()
        _ = try await enforcer.update(workloads: place.workloads)
        _ = try await apply(enforcer, port: 80)
        let infos = try Hook.all.map { try PinnedLink.open(place.pins.link($0.program)).info() }
        links = infos.map(\.id)
        programs = infos.map(\.programID)
      }
      place.options.conversationIdle = .seconds(7)
      let datapath = try place.open()
      #expect(Self.news(of: datapath) == ["replaced \(Hook.all.count) programs in place"])
      #expect(datapath.holdings.workloads.count == 2)
      let infos = try Hook.all.map { try PinnedLink.open(place.pins.link($0.program)).info() }
      #expect(infos.map(\.id) == links)
      #expect(Set(infos.map(\.programID)).isDisjoint(with: programs))
    }
  }

  @Test("a state that enforces on another cgroup is refused, and detach without an agent leaves nothing")
  func otherCgroup() async throws {
    try await withPlace { place in
      var place = place
      do {
        let enforcer = place.enforcer(try place.open())
        _ = try await apply(enforcer, port: 80)
      }
      let options = place.options
      place.options.cgroup += "/web"
      let error = #expect(throws: DatapathError.self) { try place.open() }
      #expect(error?.remedy?.contains("detach") == true)
      #expect(try KernelState.remove(bpffs: options.bpffs, state: place.state))
      #expect(!FileManager.default.fileExists(atPath: "\(options.bpffs)/sallyport"))
      #expect(try PinnedInspection.read(bpffs: options.bpffs, state: place.state) == nil)
      #expect(try !KernelState.remove(bpffs: options.bpffs, state: place.state))
    }
  }

  @Test("programs of another ABI version are replaced: they enforce until the new ones do, also after a crash between")
  func otherABI() async throws {
    try await withPlace { place in
      do {
        let enforcer = place.enforcer(try place.open())
        _ = try await enforcer.update(workloads: place.workloads)
        _ = try await apply(enforcer, port: 80)
      }
      // The programs' own section is frozen: a stand-in tells of the other version.
      let path = place.pins.map(PinnedState.configName)
      try removePin(at: path)
      let other = try BPFMap<UInt32, InlineArray<3, UInt64>>.create(.array, name: "other", maxEntries: 1)
      try other.set([99, 0, 0], for: 0)
      try other.pin(at: path)
      // Twice: the first one dies before it attaches.
      for _ in 0..<2 {
        let datapath = try place.open()
        #expect(datapath.holdings.isNew && datapath.isReplacing)
        #expect(try PinnedInspection.read(bpffs: place.options.bpffs, state: place.state) != nil)
        #expect(try place.pins.former.policedCgroup() == place.sandbox.cgroup.id)
      }
      let datapath = try place.open()
      let enforcer = place.enforcer(datapath)
      try await enforcer.start()
      #expect(await enforcer.isReplacing)
      #expect(await enforcer.cgroupsInForce == Set(place.workloads.map(\.cgroup)))
      _ = try await enforcer.update(workloads: place.workloads)
      _ = try await apply(enforcer, port: 80)
      #expect(!place.pins.former.exists)
      #expect(try place.pins.version() == SP_ABI_VERSION)
      #expect(try place.pins.missingAttachments().isEmpty)
    }
  }

  @Test("pins that are missing are made again from what is left", arguments: ["maps/sp_active", "maps", "programs"])
  func missingPins(_ lost: String) async throws {
    try await withPlace { place in
      var rows: [CgroupID: WorkloadRow] = [:]
      do {
        let datapath = try place.open()
        let enforcer = place.enforcer(datapath)
        _ = try await enforcer.update(workloads: place.workloads)
        _ = try await apply(enforcer, port: 80)
        rows = try datapath.current().workloads
      }
      try place.sandbox.command(["rm", "-rf", "\(place.pins.published)/\(lost)"])
      let datapath = try place.open()
      #expect(!datapath.holdings.isNew)
      #expect(datapath.holdings.workloads == rows)
      #expect(datapath.notes.contains { $0.hasPrefix("pinned again: ") })
      // The names too: no program reads them, but one keeps them.
      #expect(try datapath.names().count == 2)
    }
  }

  @Test("what is unpinned or detached under an agent is pinned and attached again")
  func mended() async throws {
    try await withPlace { place in
      let datapath = try place.open()
      let enforcer = place.enforcer(datapath)
      _ = try await enforcer.update(workloads: place.workloads)
      _ = try await apply(enforcer, port: 80)
      #expect(datapath.mendPins().isGood)
      try place.sandbox.command(["rm", "-rf", place.pins.published])
      let status = try #require(try PinnedInspection.attached(toCgroupAt: place.options.cgroup))
      #expect(status.missing.isEmpty)
      var condition = datapath.mendPins()
      #expect(condition.pinned.count > 2 * Hook.all.count && condition.failures.isEmpty && condition.attached.isEmpty)
      #expect(try place.pins.missingAttachments().isEmpty)
      try PinnedLink.open(place.pins.link("sp_ingress")).detach()
      condition = datapath.mendPins()
      #expect(condition.attached == ["sp_ingress"] && condition.failures.isEmpty)
      #expect(try place.pins.missingAttachments().isEmpty)
      #expect(datapath.mendPins().isGood)
    }
  }

  @Test("another agent above, below or on the same cgroup is found, also when its pins are gone")
  func rivals() async throws {
    try await withPlace { place in
      let enforcer = place.enforcer(try place.open())
      _ = try await enforcer.update(workloads: place.workloads)
      _ = try await apply(enforcer, port: 80)
      let other = StateDirectory("/tmp/another")
      let bpffs = place.options.bpffs
      let below = try place.sandbox.makeCgroup("web/deep")
      let beside = try CgroupHierarchy.find().root()
      for cgroup in [place.sandbox.cgroup, below] {
        let found = try RivalEnforcement.find(on: cgroup, bpffs: bpffs, besides: other)
        let rival = try #require(found.first { $0.state == place.state.path })
        #expect(rival.process == ProcessID.current)
        #expect(rival.remedy.contains("sallyport detach --state \(place.state.path)"))
        #expect(try RivalEnforcement.find(on: cgroup, bpffs: bpffs, besides: place.state).isEmpty)
      }
      #expect(
        try RivalEnforcement.find(on: beside, bpffs: bpffs, besides: other).contains { $0.state == place.state.path })
      try place.sandbox.command(["rm", "-rf", place.pins.published])
      let unpinned = try RivalEnforcement.find(on: below, bpffs: bpffs, besides: other)
      #expect(unpinned.count == 1 && unpinned.first?.process == ProcessID.current)
    }
  }

  @Test("a table that is full is an error that names it and its limit, and the policy before stays in force")
  func full() async throws {
    try await withPlace { place in
      var place = place
      // Half of it is a policy's share: the other half is the slot of the one that replaces it.
      place.options.maxEntries = 8
      let datapath = try place.open()
      let enforcer = place.enforcer(datapath)
      _ = try await enforcer.update(workloads: place.workloads)
      _ = try await apply(enforcer, port: 80)
      let before = try datapath.current().generation
      let sources = (1...6).map { index in
        """
        apiVersion: sallyport/v1
        kind: NetworkRuleSet
        metadata: {name: s\(index)}
        spec: {subject: app=web, incoming: [{action: allow, peers: any, ports: [tcp/\(index)]}]}
        """
      }
      let files = sources.enumerated().map { (name: "\($0.offset).yaml", bytes: Array($0.element.utf8)) }
      let wanted = try PolicyParser.parse(files: files).policy
      let error = await #expect(throws: DatapathError.self) { try await enforcer.apply(policy: wanted, sources: []) }
      let text = error?.description ?? ""
      #expect(text.contains("sp_policy") && text.contains("may have 4 of 8"), "\(text)")
      #expect(try datapath.current().generation == before)
    }
  }
}
