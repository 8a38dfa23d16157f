// Can whatever is accepted be replaced, and is what cannot be refused at once?

import Kernel
import Policy
import Testing

@testable import Enforcement

@Suite struct PolicyRoomTests {
  private static func policy(networks: Int, port: Int = 80) throws -> PolicySet {
    let cidrs = (0..<networks).map { "10.\($0 >> 8).\($0 & 255).0/24" }.joined(separator: ", ")
    let text = """
      apiVersion: sallyport/v1
      kind: ExternalNetwork
      metadata: {name: block}
      spec: {cidrs: [\(cidrs)]}
      ---
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: web}
      spec: {subject: app=web, outgoing: [{action: reject, peers: [{network: block}], ports: [tcp/\(port)]}]}
      """
    return try PolicyParser.parse(files: [("f", Array(text.utf8))]).policy
  }

  private static func rules(_ count: Int, from port: Int = 1) throws -> PolicySet {
    let ports = (0..<count).map { "{action: allow, peers: any, ports: [tcp/\(port + 2 * $0)]}" }.joined(separator: ", ")
    let text =
      "apiVersion: sallyport/v1\nkind: NetworkRuleSet\nmetadata: {name: w}\nspec: {subject: app=web, incoming: [\(ports)]}"
    return try PolicyParser.parse(files: [("f", Array(text.utf8))]).policy
  }

  private static func made(_ limits: DatapathLimits) async throws -> Enforcer {
    let (enforcer, _) = try await enforcing(on: ModelDatapath(limits: limits))
    return enforcer
  }

  @Test("a policy of the largest size that is accepted can be replaced by another, again and again")
  func largest() async throws {
    let limits = DatapathLimits(cells: 40, networks: 40, workloads: 5)
    let enforcer = try await Self.made(limits)
    for round in 0..<4 {
      _ = try await enforcer.apply(policy: try Self.policy(networks: 20, port: 80 + round), sources: [])
    }
    for round in 0..<4 { _ = try await enforcer.apply(policy: try Self.rules(20, from: 100 + round), sources: []) }
  }

  @Test("one row more is refused, though there is room for it now")
  func oneMore() async throws {
    let limits = DatapathLimits(cells: 40, networks: 40, workloads: 5)
    let enforcer = try await Self.made(limits)
    for policy in [try Self.policy(networks: 21), try Self.rules(21)] {
      let error = await #expect(throws: DatapathError.self) { try await enforcer.apply(policy: policy, sources: []) }
      #expect(error?.description.contains("a policy may have 20 of 40, so that another can replace it") == true)
    }
    // What is refused leaves the way open for what fits.
    _ = try await enforcer.apply(policy: try Self.rules(3), sources: [])
  }

  @Test("check says the same before there is a host, and leaves room for the addresses of workloads")
  func checked() throws {
    let limits = DatapathLimits(cells: 40, networks: 40, workloads: 5)
    func check(_ policy: PolicySet) throws { try PolicyRoom.check(PolicyNeeds(of: policy), limits) }
    #expect(throws: Never.self) { try check(try Self.policy(networks: 15)) }
    #expect(throws: DatapathError.self) { try check(try Self.policy(networks: 16)) }
    #expect(throws: Never.self) { try check(try Self.rules(20)) }
    let error = #expect(throws: DatapathError.self) { try check(try Self.rules(21)) }
    #expect(error?.description.contains("--max-entries 64") == true, "\(String(describing: error))")
    #expect(throws: Never.self) { try PolicyRoom.check(PolicyNeeds(of: try Self.policy(networks: 60_000)), .standard) }
  }
}
