// Whom a question to documents alone may name.
import Policy
import Testing

@Suite struct OfflineTests {
  private static let text = """
    apiVersion: sallyport/v1
    kind: Workload
    metadata: {name: db}
    spec: {labels: {app: db}, addresses: [10.0.0.9]}
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: db}
    spec:
      subject: app=db
      incoming: [{action: allow, peers: [{selector: app=web}], ports: [tcp/5432]}]

    """

  private static func offline() throws -> OfflinePolicy {
    try OfflinePolicy(try PolicyParser.parse(files: [("p.yaml", Array(text.utf8))]).policy)
  }

  @Test(
    "a Workload document is named by its name, its labels and its addresses", arguments: ["db", "app=db", "10.0.0.9"])
  func workload(name: String) throws {
    var offline = try Self.offline()
    let (web, db) = (try offline.end("app=web"), try offline.end(name))
    #expect(offline.decisions(from: web, to: db, protocol: .tcp, port: 5432).incoming?.action == .allow)
    #expect(offline.decisions(from: web, to: db, protocol: .tcp, port: 80).incoming?.action == .reject)
  }

  @Test(
    "what only a host knows is sent to `why`; other words get what was nearly meant",
    arguments: [
      ("nginx.service", "sallyport why"), ("1234", "sallyport why"), ("/system.slice", "sallyport why"),
      ("dbb", "did you mean db?"),
    ])
  func unknown(name: String, remedy: String) throws {
    var offline = try Self.offline()
    #expect { try offline.end(name) } throws: { "\($0)".contains(remedy) }
  }
}
