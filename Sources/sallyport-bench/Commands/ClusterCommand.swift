// What a large Kubernetes cluster costs: reading it, its tables, and one pod more.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import Policy

struct ClusterCommand: ControlMeasurement {
  static let configuration = CommandConfiguration(
    commandName: "cluster", abstract: "Put a Kubernetes cluster with its policies in force, and add one pod.",
    discussion: "Documents come from a seed. All pods are of this host, which no host has: it is the worst case.")

  @Option(help: "NetworkPolicies.") var policies = 10_000
  @Option(help: "Pods.") var pods = 50_000
  @Option(help: "Namespaces.") var namespaces = 200
  @Option(help: "Rules in a hundred whose peer is every pod.") var broad = 1
  @Option(help: "Pods that are added one by one, of each kind.") var rounds = 5
  @Option(help: "Seed of the documents.") var seed: UInt64 = 1
  @Flag(help: "Only read and compile: needs no privileges.") var compileOnly = false
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func validate() throws {
    guard policies >= 0, pods >= 1, (1...4000).contains(namespaces), pods >= namespaces else {
      throw ValidationError("--pods takes a number that is not below --namespaces, which takes one from 1 to 4000")
    }
  }

  func run() async throws { try await report().print(output) }

  func report() async throws -> Report {
    var report = Report(
      "cluster",
      settings: [
        ("policies", "\(policies)"), ("pods", "\(pods)"), ("namespaces", "\(namespaces)"), ("broad", "\(broad) %"),
        ("rounds", "\(rounds)"), ("seed", "\(seed)"),
      ])
    let cluster = SyntheticCluster(
      policies: policies, pods: pods, namespaces: namespaces, broad: broad, seed: seed)
    let files = cluster.files()
    var began = Clock.monotonicNanoseconds()
    var reader = PolicyReader()
    let policy = try reader.parse(files: files.map { ($0.name, $0.bytes) }).policy
    let reading = Double(Clock.monotonicNanoseconds() - began) / 1e6
    var identities: [(key: IdentityNumber, value: LabelSet)] = []
    for labels in Set(policy.pods.map(\.labels)) {
      identities.append(
        (IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + UInt32(identities.count)), labels))
    }
    began = Clock.monotonicNanoseconds()
    let tables = try Compiler.compile(policy: policy, sorted: identities).tables
    let compiling = Double(Clock.monotonicNanoseconds() - began) / 1e6
    report.tables.append(
      ReportTable(
        "The cluster", columns: ["what", "figure"],
        rows: [
          [.text("bytes of documents"), .count(files.reduce(0) { $0 + $1.bytes.count })],
          [.text("reading, ms"), .number(reading, digits: 0)],
          [.text("compiling, ms"), .number(compiling, digits: 0)],
          [.text("identities of pods"), .count(identities.count)],
          [.text("outgoing subject classes"), .count(Set(tables.classes.values.map(\.outgoingSubject)).count)],
          [.text("incoming subject classes"), .count(Set(tables.classes.values.map(\.incomingSubject)).count)],
          [.text("peer classes"), .count(Set(tables.classes.values.map(\.peer)).count)],
          [.text("rows of rules"), .count(tables.cells.count)],
          [.text("rules"), .count(tables.rules.count)],
          [.text("peak resident so far, MiB"), .count(peakResidentKiB() / 1024)],
        ]))
    report.quantities.append(Quantity("cluster compile", unit: "ms", [compiling]))
    if !compileOnly { try await publish(cluster, files, reader, policy, tables.cells.count, &report) }
    return report
  }

  private func publish(
    _ cluster: SyntheticCluster, _ files: [PolicySource], _ reader: PolicyReader, _ policy: PolicySet, _ cells: Int,
    _ report: inout Report
  ) async throws {
    let arena = try Arena()
    defer { arena.remove() }
    let instance = try Instance("cluster", in: arena, cells: cells)
    do {
      let run = ClusterRun(instance: instance, cluster: cluster, files: files, reader: reader)
      try await run.begin(policy)
      try await run.addPods(rounds: rounds)
      try await run.addManifests(rounds: min(rounds, 3))
      report.tables.append(run.table)
      report.quantities += run.quantities
      let bytes = try instance.mapMemory().reduce(0) { $0 + $1.bytes }
      report.notes.append("memory of the maps: \(bytes / 1_048_576) MiB")
      report.notes.append("peak resident of everything: \(peakResidentKiB() / 1024) MiB")
      try await instance.close()
    } catch {
      try? await instance.close()
      throw error
    }
  }
}
