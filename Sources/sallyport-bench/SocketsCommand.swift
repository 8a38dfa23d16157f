// What enforcement costs real sockets: nothing, empty programs, Sallyport and its rivals in turn on the same cgroup.

internal import ArgumentParser
internal import Enforcement
internal import Kernel

struct SocketsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sockets",
    abstract: "Measure TCP and UDP on loopback with nothing, empty programs, Sallyport and its rivals in turn.")

  @Option(help: "Batches of each kind of work and contestant.") var rounds = 40
  @Option(parsing: .upToNextOption, help: "Kinds of work.") var loads = Load.allCases
  @Flag(help: "Also with a large policy.") var large = false
  @Option(help: "Rules of the large policy.") var rules = 10_000
  @Option(help: "Identities of the large policy.") var identities = 100_000
  @Option(help: "About how many compiled entries of the large policy.") var cells = 1_000_000
  @Flag(help: "Both datapaths beside iptables with xt_cgroup and ipset, and nft with socket cgroupv2.")
  var rivals = false
  @Option(parsing: .upToNextOption, help: "How many rules the rivals have.") var rivalRules = [10, 100, 1000]
  @Flag(help: "Read no flow records: the ring fills, as it never does in the agent.") var noRecords = false
  @Flag(help: "Also with each of Sallyport's programs alone, the other hooks empty.") var parts = false
  @Option(help: "The CPU on which the work is done.") var cpu = 1
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func validate() throws {
    guard !rivals || !(large || parts) else { throw ValidationError("--rivals goes without --large and --parts") }
    guard rivalRules.allSatisfy({ (6...2000).contains($0) }) else {
      throw ValidationError("--rival-rules takes numbers from 6 to 2000")
    }
  }

  func run() async throws {
    var report = Report(
      "sockets", settings: [("rounds", "\(rounds)"), ("cpu", "\(cpu)"), ("records read", "\(!noRecords)")])
    let arena = try Arena()
    defer { arena.remove() }
    var instances: [Instance] = []
    do {
      let contestants = try await contestants(in: arena, &instances, &report)
      if !noRecords { for instance in instances { try instance.datapath.startEvents { _ in } } }
      // Without the connect hook a refused SYN is dropped at egress, and its sender waits for minutes; rules do not see a
      // connection that has no route.
      let loads = parts || rivals ? loads.filter { parts ? !$0.isRefused : $0 != .refused } : loads
      let tournament = Tournament(contestants: contestants, loads: loads, rounds: rounds)
      try tournament.run(in: arena, cpu: cpu)
      report.tables += rivals ? tournament.tablesBesideNothing : tournament.tables
      for instance in instances {
        let statistics = try await instance.enforcer.counters().statistics
        report.notes.append("datapath: \(statistics)")
      }
    } catch {
      for instance in instances { try? await instance.close() }
      throw error
    }
    for instance in instances { try await instance.close() }
    report.notes.append("load average at the end: \(MachineFacts.read().load)")
    report.print(output)
  }

  /// Those of this run; `instances` gets what must be closed, also when this fails.
  private func contestants(
    in arena: Arena, _ instances: inout [Instance], _ report: inout Report
  ) async throws -> [Contestant] {
    if rivals {
      var field = RivalField(in: arena, counts: rivalRules)
      try await field.assemble(&instances)
      return field.contestants
    }
    // A part alone sees half of each conversation: only a policy that allows by default lets its packets pass.
    let small = try await Rivals.small(in: arena, defaults: parts ? Rivals.openDefaults : Rivals.defaults)
    instances.append(small)
    var contestants = [.nothing, try .empty(), try Contestant.sallyport("sallyport, 2 rules", small)]
    if large {
      let synthetic = SyntheticPolicy(rules: rules, identityCount: identities, cells: cells, seed: 1)
      let (instance, found) = try await Rivals.large(in: arena, synthetic)
      instances.append(instance)
      contestants.append(try .sallyport("sallyport, \(rules) rules", instance))
      report.settings.append(("large policy", "\(rules) rules, \(identities) identities, \(found) cells"))
    }
    if parts {
      for hook in Contestant.hooks.map(\.program) where !hook.hasSuffix("6") && hook != "sp_post_bind4" {
        contestants.append(try .sallyport("only \(hook)", small) { $0 == hook })
      }
    }
    return contestants
  }
}
