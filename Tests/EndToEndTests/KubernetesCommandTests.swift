// Does the command line answer questions about documents alone, and convert them?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(.requires(.root, .cgroups)) struct KubernetesCommandTests {
  private static let pods = """
    apiVersion: v1
    kind: Pod
    metadata: {name: web-1, namespace: shop, labels: {app: web}}
    spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}
    status: {podIP: 10.1.0.1}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: db-1, namespace: shop, labels: {app: db}}
    spec: {containers: [{ports: [{name: pg, containerPort: 5432}]}]}
    status: {podIP: 10.1.0.2}

    """

  private static let policy = """
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: db, namespace: shop}
    spec:
      podSelector: {matchLabels: {app: db}}
      ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: pg}]}]

    """

  /// Runs the product on documents and a standard input; both streams together.
  private func run(_ documents: String, _ words: [String], input: String = "") throws -> (status: Int32, text: String) {
    try withSandbox { sandbox in
      let directory = "/tmp/sallyport-k8s-\(getpid())-\(sandbox.cgroup.id)"
      defer { try? sandbox.command(["rm", "-rf", directory]) }
      try sandbox.command(["mkdir", "-p", "\(directory)/policy"])
      try replaceFile(FilePath("\(directory)/policy/all.yaml"), with: Array(documents.utf8))
      try replaceFile(FilePath("\(directory)/input"), with: Array(input.utf8))
      let child = try sandbox.start(
        [
          "sh", "-c", "cd \"$1\"; shift; exec \"$0\" \"$@\" <input >output 2>&1", Product.sallyport, directory,
        ] + words)
      let status = try child.wait()
      return (status, try readKernelFile(FilePath("\(directory)/output")))
    }
  }

  @Test("a question gets its answer, the rules that decide, and an exit code")
  func verdict() throws {
    func ask(_ from: String, _ to: String, _ port: String) throws -> (status: Int32, text: String) {
      try run(
        Self.pods + Self.policy,
        ["policy", "verdict", "--policy", "policy", "--from", from, "--to", to, "--port", port])
    }
    let allowed = try ask("shop/web-1", "shop/db-1", "pg")
    #expect(allowed.status == 0)
    #expect(
      allowed.text == """
        shop/web-1 -> shop/db-1 pg: allow
          outgoing: allow by default
          incoming: allow by rule NetworkPolicy/shop/db#pg=tcp/5432/incoming[0] (ingress[0]) at policy/all.yaml:18

        """)
    let byAddress = try ask("10.1.0.1", "10.1.0.2", "tcp/5432")
    #expect(byAddress.status == 0 && byAddress.text.contains("ingress[0]"))
    let stranger = try ask("10.9.0.1", "shop/db-1", "tcp/5432")
    #expect(stranger.status == 1 && stranger.text.contains("incoming: reject by rule NetworkPolicy/shop/db"))
    #expect(try ask("k8s.namespace=shop,k8s.label/app=web", "shop/db-1", "pg").status == 0)
    let unknown = try ask("shop/web-2", "shop/db-1", "pg")
    #expect(unknown.status == 1 && unknown.text.contains("\"shop/web-2\" is not a pod or workload of the documents"))
    #expect(try ask("shop/web-1", "shop/db-1", "http").text.contains("\"http\" is not a port of the destination"))
    let usage = try run(Self.pods, ["policy", "verdict", "--policy", "policy", "--from", "host"])
    #expect(usage.status == 2)
  }

  @Test("a stream of questions gets a line each, in order, and a bad line only its own error")
  func batch() throws {
    let input = """
      {"from": "shop/web-1", "to": "shop/db-1", "port": "pg"}
      {"from": "10.9.0.1", "to": "shop/db-1", "port": "tcp/5432", "note": 1}
      nonsense

      {"port": "tcp/5432", "to": "shop/db-1", "from": "world"}
      """
    let answer = try run(
      Self.pods + Self.policy, ["policy", "verdict", "--policy", "policy", "--batch"], input: input)
    let lines = answer.text.split(separator: "\n").map(String.init)
    #expect(answer.status == 1 && lines.count == 4)
    #expect(
      lines.first == "{\"from\":\"shop/web-1\",\"to\":\"shop/db-1\",\"port\":\"pg\",\"verdict\":\"allow\",\"outgoing\":"
        + "{\"verdict\":\"allow\",\"decidedBy\":\"default\"},\"incoming\":{\"verdict\":\"allow\",\"decidedBy\":\"rule "
        + "NetworkPolicy/shop/db#pg=tcp/5432/incoming[0] (ingress[0]) at policy/all.yaml:18\"}}")
    #expect(lines.dropFirst().prefix(2).allSatisfy { $0.hasPrefix("{\"error\":") })
    #expect(lines.last?.contains("\"verdict\":\"reject\",\"incoming\":{\"verdict\":\"reject\"") ?? false)
  }

  @Test("the matrix shows who reaches whom")
  func matrix() throws {
    let answer = try run(
      Self.pods + Self.policy,
      ["policy", "matrix", "--policy", "policy", "--port", "tcp/5432", "--with", "10.9.0.1"])
    #expect(answer.status == 0)
    #expect(
      answer.text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") } == [
        "tcp/5432", "from \\ to shop/db-1 shop/web-1 10.9.0.1", "shop/db-1 yes yes yes", "shop/web-1 yes yes yes",
        "10.9.0.1 no yes yes",
      ])
  }

  private static let native = """
    ---
    apiVersion: sallyport/v1
    kind: Defaults
    metadata: {name: d}
    spec: {pods: {incoming: reject, outgoing: reject}}
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: node}
    spec:
      subject: k8s.namespace=shop
      incoming: [{action: allow, peers: [{selector: sallyport.identity=host}], ports: any}]
      outgoing: [{action: allow, peers: [{selector: sallyport.identity=host}], ports: any}]
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: db}
    spec:
      subject: k8s.namespace=shop,k8s.label/app=db
      incoming:
        - {action: allow, peers: [{selector: "k8s.namespace=shop,k8s.label/app=web"}], ports: [tcp/5432]}
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: web}
    spec:
      subject: k8s.namespace=shop,k8s.label/app=web
      outgoing:
        - {action: allow, peers: [{selector: k8s.label/app=db}], ports: [tcp/5432]}

    """

  @Test("what is converted answers every question as before, there and back")
  func conversion() throws {
    func matrix(_ documents: String) throws -> String {
      try run(
        documents,
        [
          "policy", "matrix", "--policy", "policy", "--port", "tcp/5432", "--port", "tcp/80", "--with", "10.9.0.1",
          "--with", "host", "--with", "k8s.namespace=shop",
        ]
      ).text
    }
    let before = try matrix(Self.pods + Self.native)
    #expect(before.contains("yes") && before.contains("no"))
    let there = try run(Self.pods + Self.native, ["policy", "convert", "--to", "kubernetes", "policy"])
    #expect(there.status == 0 && there.text.contains("kind: NetworkPolicy"), "\(there.text)")
    #expect(try matrix("\(Self.pods)---\n\(there.text)") == before)
    let pods =
      "---\napiVersion: sallyport/v1\nkind: Defaults\nmetadata: {name: d}\n"
      + "spec: {pods: {incoming: reject, outgoing: reject}}\n"
    let back = try run("\(Self.pods)---\n\(there.text)\n\(pods)", ["policy", "convert", "--to", "native", "policy"])
    #expect(back.status == 0 && !back.text.contains("kind: NetworkPolicy"), "\(back.text)")
    #expect(try matrix("\(Self.pods)---\n\(back.text)") == before)
  }

  @Test("what cannot be said in the other language is named with the reason, and nothing is printed")
  func lossy() throws {
    let toNative = try run(Self.pods + Self.policy, ["policy", "convert", "--to", "native", "policy"])
    #expect(toNative.status == 1 && !toNative.text.contains("kind:"))
    #expect(
      toNative.text.contains("all.yaml:13: NetworkPolicy/shop/db isolates some pods"), "\(toNative.text)")
    let rejecting = Self.native.replacing(
      "action: allow, peers: [{selector: k8s.label", with: "action: reject, peers: [{selector: k8s.label")
    let toKubernetes = try run(Self.pods + rejecting, ["policy", "convert", "--to", "kubernetes", "policy"])
    #expect(toKubernetes.status == 1 && toKubernetes.text.contains("rejects, and a NetworkPolicy only allows"))
  }
}
