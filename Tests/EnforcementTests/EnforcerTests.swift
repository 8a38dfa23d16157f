// Does the enforcer write what is wanted, in the right order, and never half of it?

import Kernel
import Policy
import Testing

@testable import Enforcement

@Suite struct EnforcerTests {
  @Test("the tables and the workloads are there before the first packet is judged")
  func firstPublication() async throws {
    let model = ModelDatapath()
    let enforcer = Enforcer(datapath: model, state: nil, cgroup: "/test", logger: quiet)
    try await enforcer.start()
    _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
    #expect(!model.isAttached)
    #expect(model.log.isEmpty)
    let publication = try await enforcer.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
    #expect(model.isAttached)
    #expect(publication.generation == model.generation)
    #expect(publication.rowsWritten > 0)
    #expect(model.incoming(102, from: 101, port: 80) == .allow)
    #expect(model.incoming(102, from: 101, port: 81) == .reject)
    #expect(model.incoming(101, from: 102, port: 80) == .reject)
  }

  @Test("a policy whose datapath cannot be attached is an error, and is attached by the next attempt")
  func attachFails() async throws {
    let model = ModelDatapath()
    model.failToAttach()
    let enforcer = Enforcer(datapath: model, state: nil, cgroup: "/test", logger: quiet)
    let wanted = try policy(document(port: 80))
    await #expect(throws: DatapathError.self) { try await enforcer.apply(policy: wanted, sources: []) }
    model.heal()
    _ = try await enforcer.apply(policy: wanted, sources: [])
    #expect(model.isAttached)
  }

  @Test("the same policy again writes nothing and keeps its generation")
  func unchanged() async throws {
    let (enforcer, model) = try await enforcing()
    let before = model.generation
    let publication = try await enforcer.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
    #expect(publication.rowsWritten == 0)
    #expect(model.log.isEmpty)
    #expect(model.generation == before)
  }

  @Test("documents that tell only of more pods compile nothing and write nothing; a rule that moved compiles")
  func morePods() async throws {
    func pod(_ name: String, _ rest: String = "") -> String {
      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: \(name), namespace: shop, labels: {app: web}}\n\(rest)"
    }
    let rules = """
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: web, namespace: shop}
      spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}

      """
    func source(_ text: String) -> PolicySource { PolicySource(name: "all.yaml", bytes: Array(text.utf8)) }
    let model = ModelDatapath()
    let enforcer = Enforcer(datapath: model, state: nil, cgroup: "/test", logger: quiet)
    try await enforcer.start()
    let labels = "k8s.namespace=shop,k8s.label/app=web"
    _ = try await enforcer.update(workloads: [workload(101, labels)])
    _ = try await enforcer.apply(policy: policy(source(rules + pod("one"))), sources: [])
    model.clearLog()
    let more = try policy(source(rules + pod("one") + pod("two", "status: {podIP: 10.0.0.2}\n")))
    var publication = try await enforcer.apply(policy: more, sources: [])
    #expect(publication.phases.compile == .zero && publication.rowsWritten == 0 && model.log.isEmpty)
    publication = try await enforcer.update(setting: [workload(102, labels)])
    #expect(publication.phases.compile == .zero && publication.rowsWritten == 3)
    #expect(model.incoming(102, from: 101, port: 80) == .allow)
    // Its place is told by records: what moved is written down anew.
    publication = try await enforcer.apply(policy: policy(source(pod("one") + "---\n" + rules)), sources: [])
    #expect(publication.phases.compile > .zero)
    let line = try await enforcer.tables?.rules.first?.source.line
    #expect(line == 9)
    let narrow = rules.replacing("ingress: [{", with: "ingress: [{ports: [{port: 80}], ")
    publication = try await enforcer.apply(policy: policy(source(pod("one") + "---\n" + narrow)), sources: [])
    #expect(publication.phases.compile > .zero)
    #expect(model.incoming(102, from: 101, port: 81) == .reject)
  }

  @Test("another policy goes to the other slot, in which only differences are written, and then one flip")
  func minimal() async throws {
    let (enforcer, model) = try await enforcing()
    for port in [81, 82, 83] {
      _ = try await enforcer.apply(policy: policy(document(port: port)), sources: [])
    }
    model.clearLog()
    let before = model.generation
    _ = try await enforcer.apply(policy: policy(document(port: 84)), sources: [])
    // Port 82 was in that slot: its port row and the new one's are the same row of 64.
    #expect(model.log.count == 3)
    #expect(model.log.first == .gracePeriod)
    guard case .ports(let slot, let rows) = model.log[1] else {
      Issue.record("expected port rows, got \(model.log)")
      return
    }
    #expect(rows.count == 1)
    #expect(slot == Slot(generation: before).other)
    #expect(model.log.last == .activate(before + 1))
    #expect(model.incoming(102, from: 101, port: 84) == .allow)
    #expect(model.incoming(102, from: 101, port: 82) == .reject)
  }

  @Test("a new workload of a known class costs one row of classes, its counters, its row and the generation")
  func incremental() async throws {
    let (enforcer, model) = try await enforcing()
    let before = model.generation
    let publication = try await enforcer.update(setting: [workload(103, "app=web,version=2")])
    let number = try #require(model.workloads[CgroupID(rawValue: 103)]?.identity)
    let slot = Slot(generation: before)
    #expect(
      model.log == [
        .classes(slot, [ClassRow(number, model.active.classes[number])]),
        .addCounts([CgroupID(rawValue: 103)]),
        .setWorkloads([CgroupID(rawValue: 103): WorkloadRow(identity: number)]),
        .activate(before + 2),
      ])
    #expect(publication.rowsWritten == 4)
    #expect(model.incoming(102, from: 103, port: 80) == .allow)
    #expect(try await enforcer.tables?.classes[number] != nil)
  }

  @Test("a number that is given away gets the classes of its new labels, not those of its former")
  func recycled() async throws {
    let model = ModelDatapath()
    let allocator = IdentityAllocator(quarantine: 0, end: IdentityNumber(rawValue: 19))
    let enforcer = Enforcer(datapath: model, state: nil, cgroup: "/test", logger: quiet, allocator: allocator)
    try await enforcer.start()
    _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
    _ = try await enforcer.apply(policy: policy(document(port: 80)), sources: [])
    _ = try await enforcer.update(setting: [workload(103, "app=web,v=2")])
    #expect(model.incoming(102, from: 103, port: 80) == .allow)
    _ = try await enforcer.update(setting: [], removing: [CgroupID(rawValue: 103)])
    _ = try await enforcer.update(setting: [workload(104, "app=other"), workload(105, "app=other")])
    #expect(model.workloads[CgroupID(rawValue: 104)]?.identity.rawValue == 18)
    #expect(model.incoming(102, from: 104, port: 80) == .reject)
    let number = IdentityNumber(rawValue: 18)
    #expect(try await enforcer.tables?.classes[number] == model.active.classes[number])
  }

  @Test("two workloads of one new identity in one change have its classes")
  func twins() async throws {
    let (enforcer, model) = try await enforcing()
    _ = try await enforcer.update(setting: [workload(103, "app=web,v=3"), workload(104, "app=web,v=3")])
    #expect(model.incoming(102, from: 103, port: 80) == .allow)
    #expect(model.incoming(102, from: 104, port: 80) == .allow)
  }

  @Test("a new workload of an unknown class has its tables in force before its row")
  func recompiled() async throws {
    let (enforcer, model) = try await enforcing()
    _ = try await enforcer.apply(policy: policy(document(port: 80, from: "tier in (a,b),app=web")), sources: [])
    model.clearLog()
    let before = model.generation
    _ = try await enforcer.update(setting: [workload(104, "app=web,tier=b")])
    let flip = try #require(model.log.firstIndex(of: .activate(before + 1)))
    let row = try #require(
      model.log.firstIndex {
        if case .setWorkloads = $0 { true } else { false }
      })
    #expect(flip < row)
    #expect(model.incoming(102, from: 104, port: 80) == .allow)
    #expect(model.incoming(102, from: 101, port: 80) == .reject)
  }

  @Test(
    "workloads of unknown classes get theirs, a few or many at once, and others keep what they may", arguments: [3, 20])
  func strangers(count: Int) async throws {
    let model = ModelDatapath()
    let enforcer = Enforcer(datapath: model, state: nil, cgroup: "/test", logger: quiet)
    try await enforcer.start()
    let from = "tier in (\((0..<count).map { "t\($0)" }.joined(separator: ","))),app=web"
    _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
    let more = (0..<count).map { "team=t\($0)" }
    var text = String(decoding: document(port: 80, from: from).bytes, as: UTF8.self)
    for (index, team) in more.enumerated() {
      text += """

        ---
        apiVersion: sallyport/v1
        kind: NetworkRuleSet
        metadata: {name: team-\(index)}
        spec:
          subject: \(team)
          incoming: [{action: allow, peers: [{selector: "\(team)"}], ports: any}]
        """
    }
    _ = try await enforcer.apply(policy: policy(PolicySource(name: "p", bytes: Array(text.utf8))), sources: [])
    let before = try #require(await enforcer.tables).cells.count
    _ = try await enforcer.update(
      setting: try more.enumerated().map { try workload(200 + UInt64($0), "app=web,tier=t0,\($1)") })
    #expect(try #require(await enforcer.tables).cells.count > before)
    for index in 0..<UInt64(count) {
      #expect(model.incoming(102, from: 200 + index, port: 80) == .allow)
      #expect(model.incoming(200 + index, from: 200 + index, port: 80) == .allow)
      #expect(model.incoming(200 + index, from: 200 + (index + 1) % UInt64(count), port: 80) == .reject)
    }
    #expect(model.incoming(102, from: 101, port: 80) == .reject)
  }

  @Test("a workload that goes loses its addresses first, then its row, then its counters; its number rests")
  func removal() async throws {
    let (enforcer, model) = try await enforcing()
    _ = try await enforcer.update(setting: [workload(103, "app=new", level: 5, addresses: ["10.1.1.1"])])
    #expect(model.levels == 1 << 2 | 1 << 5)
    model.clearLog()
    _ = try await enforcer.update(setting: [], removing: [CgroupID(rawValue: 103)])
    let slot = Slot(generation: model.generation)
    let address = IPPrefix(try IPAddress(parsing: "10.1.1.1"))
    #expect(
      model.log == [
        .removeNetworks(slot, [address]), .removeWorkloads([CgroupID(rawValue: 103)]),
        .removeCounts([CgroupID(rawValue: 103)]), .levels(1 << 2), .activate(model.generation),
      ])
    #expect(await enforcer.snapshot.workloads.count == 2)
  }

  @Test("a full list of workloads replaces the one before")
  func fullList() async throws {
    let (enforcer, model) = try await enforcing()
    _ = try await enforcer.update(workloads: [workload(102, "app=api"), workload(105, "app=web")])
    #expect(Set(model.workloads.keys.map(\.rawValue)) == [102, 105])
    #expect(model.counted == [CgroupID(rawValue: 0), CgroupID(rawValue: 102), CgroupID(rawValue: 105)])
  }

  @Test("an address that workloads of different identities claim is nobody's")
  func claimedTwice() async throws {
    let (enforcer, model) = try await enforcing()
    let address = IPPrefix(try IPAddress(parsing: "192.0.2.7"))
    _ = try await enforcer.update(setting: [workload(101, "app=web", addresses: ["192.0.2.7"])])
    #expect(model.active.networks[address]?.workload == CgroupID(rawValue: 101))
    _ = try await enforcer.update(setting: [workload(102, "app=api", addresses: ["192.0.2.7"])])
    #expect(model.active.networks[address] == NetworkRow(identity: .unknown))
    _ = try await enforcer.update(setting: [workload(102, "app=web", addresses: ["192.0.2.7"])])
    #expect(model.active.networks[address]?.workload == nil)
    #expect(model.active.networks[address]?.identity == model.workloads[CgroupID(rawValue: 101)]?.identity)
    _ = try await enforcer.update(setting: [workload(101, "app=web")], removing: [CgroupID(rawValue: 102)])
    #expect(model.active.networks[address] == nil)
  }

  @Test("a cgroup too deep for the kernel is left out, and the answer says so")
  func tooDeep() async throws {
    let (enforcer, model) = try await enforcing()
    let publication = try await enforcer.update(setting: [workload(106, "app=deep", level: 17)])
    #expect(model.workloads[CgroupID(rawValue: 106)] == nil)
    #expect(publication.warnings.count == 1)
  }

  @Test("detach leaves nothing behind")
  func detach() async throws {
    let (enforcer, model) = try await enforcing()
    try await enforcer.detach()
    #expect(model.isDetached)
    #expect(await !enforcer.snapshot.attached)
    let wanted = try policy(document(port: 81))
    let error = await #expect(throws: DatapathError.self) { try await enforcer.apply(policy: wanted, sources: []) }
    #expect(error?.description.contains("ended") == true)
  }

  @Test("a policy beside which no other would fit is refused before anything is written")
  func doesNotFit() async throws {
    let (enforcer, model) = try await enforcing(
      on: ModelDatapath(limits: DatapathLimits(cells: 6, networks: 100, workloads: 100)))
    let sets = (0..<4).map { index in
      PolicySource(
        name: "\(index).yaml",
        bytes: Array(
          """
          apiVersion: sallyport/v1
          kind: NetworkRuleSet
          metadata: {name: s\(index)}
          spec: {subject: app=web, incoming: [{action: allow, peers: any, ports: [tcp/\(index + 1)]}]}
          """.utf8))
    }
    let wanted = try PolicyParser.parse(files: sets.map { (name: $0.name, bytes: $0.bytes) }).policy
    let error = await #expect(throws: DatapathError.self) { try await enforcer.apply(policy: wanted, sources: sets) }
    #expect(error?.description.contains("sp_policy") == true)
    #expect(error?.description.contains("--max-entries") == true)
    #expect(model.log.isEmpty)
    #expect(await enforcer.snapshot.failures == 1)
    #expect(model.incoming(102, from: 101, port: 80) == .allow)
  }
}
