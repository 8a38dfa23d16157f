// Does `status` as a document keep the names that scripts know, while the agent runs and when it is gone?
import FoundationEssentials
import Glibc
import Kernel
import TestSupport
import Testing

@Suite(.serialized, .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces, .product))
struct AgentStatusTests {
  private struct Ignored: Decodable { init(from decoder: any Decoder) {} }

  /// What version 0.1.0 printed with a running agent on a cgroup of version 2 (without `view`, `mirror`, `lastError`).
  private static let names: Set<String> = [
    "enforcing", "agent", "agentPid", "datapath", "unpoliced", "repairs", "generation", "cgroup", "workloads", "ended",
    "endedLetGoEarly", "identities", "rules", "cells", "cellLimit", "pins", "pinFaults", "pinRepairs", "reattached",
    "programs", "recordsLost", "shares", "policy", "policyErrors", "failures", "revoked", "events", "eventsLost",
    "executions", "staleSockets", "sources", "warnings",
  ]

  private struct Said: Decodable {
    var agent: String
    var agentPid: Int32?
    var datapath: String
    var policy: String
    var events: String
    var repairs: Int
    var generation: UInt32
    var revoked: Int
  }

  private func names(_ text: String) throws -> Set<String> {
    Set(try JSONDecoder().decode([String: Ignored].self, from: Data(text.utf8)).keys)
  }

  @Test(
    "Every name is there, in JSON and YAML, also when the agent is gone; what only a living one knows is then empty")
  func document() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let agent = try bench.startAgent(AgentBench.defaults)
      let living = try bench.ask("status", "-o", "json").output
      #expect(try Self.names.subtracting(names(living)) == [])
      let said = try JSONDecoder().decode(Said.self, from: Data(living.utf8))
      #expect(said.agent == "running" && said.agentPid == agent.handle.id.rawValue && !said.events.isEmpty)
      #expect(said.datapath.contains(": "))
      #expect(said.policy == "\(bench.directory)/policy.yaml", "\(said.policy)")
      let yaml = try bench.ask("status", "-o", "yaml").output
      for name in Self.names { #expect(yaml.contains("\n\(name):") || yaml.hasPrefix("\(name):"), "\(name)") }
      try agent.handle.send(signal: SIGTERM)
      #expect(try agent.wait() == 0, "\(bench.log)")
      let gone = try bench.ask("status", "-o", "json").output
      #expect(try Self.names.subtracting(names(gone)) == ["agentPid"])
      let last = try JSONDecoder().decode(Said.self, from: Data(gone.utf8))
      #expect(last.agent == "gone" && last.agentPid == nil && last.events.isEmpty && last.repairs == 0)
      #expect(last.policy == said.policy && last.generation == said.generation)
      #expect(last.datapath == said.datapath.prefix { $0 != ":" })
      let text = try bench.ask("status").output
      #expect(text.contains(" gone; enforcement stays as it was left\n"), "\(text)")
      #expect(!text.contains("\nevents "), "\(text)")
      #expect(try bench.run(["detach", "--state", bench.state]).status == 0)
    }
  }
}
