// NAT on the way: in the caller's own namespace, where hooks see other addresses than the socket does, and in a node's.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Translated addresses", .serialized, .requires(.policing), .policed)
struct TranslatedAddressTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func nat(_ namespace: NetworkNamespace, _ rule: String) throws {
    let words = ["iptables", "-w", "-t", "nat", "-A"] + rule.split(separator: " ").map(String.init)
    try policed.sandbox.command(words, namespace: namespace)
  }

  private static func ask(_ address: String, _ port: UInt16, connected: Bool) throws -> TestSocket {
    let client = try TestSocket.udp()
    if connected {
      try client.connect(address, port)
      try client.send("question")
    } else {
      try client.send("question", to: address, port)
    }
    return client
  }

  @Test("a resolver behind DNAT in the own namespace answers, by a rule for what was asked", arguments: [false, true])
  func resolver(connected: Bool) async throws {
    try await policed.apply(Policed.outgoing("app=web", to: "sallyport.identity=host", "udp/53"))
    let web = try await policed.workload("web", "app=web")
    let namespace = try policed.makeNamespace()
    try nat(namespace, "OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to 127.0.0.11:41234")
    let resolver = try namespace.run { try TestSocket.bound("127.0.0.11", 41234) }
    let client = try web.run(in: namespace) { try Self.ask("127.0.0.11", 53, connected: connected) }
    for round in 0..<3 {
      if round > 0 {
        try web.run(in: namespace) {
          _ = try connected ? client.send("question") : client.send("question", to: "127.0.0.11", 53)
        }
      }
      let (text, sender) = try resolver.receiveFrom()
      #expect(text == "question")
      _ = try resolver.reply("answer", to: sender)
      #expect(try client.receive() == "answer")
    }
    // The port behind it is another one, and was not allowed.
    let refusal = try web.refusal(in: namespace) { _ = try Self.ask("127.0.0.11", 41234, connected: connected) }
    #expect(refusal == .notPermitted)
  }

  @Test("a rule for the port behind DNAT is not one for the port that is asked", arguments: [false, true])
  func resolverBehind(connected: Bool) async throws {
    try await policed.apply(Policed.outgoing("app=web", to: "sallyport.identity=host", "udp/41234"))
    let web = try await policed.workload("web", "app=web")
    let namespace = try policed.makeNamespace()
    try nat(namespace, "OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to 127.0.0.11:41234")
    let resolver = try namespace.run { try TestSocket.bound("127.0.0.11", 41234) }
    let refusal = try web.refusal(in: namespace) { _ = try Self.ask("127.0.0.11", 53, connected: connected) }
    #expect(refusal == .notPermitted)
    #expect(!resolver.isReadable)
  }

  @Test("a workload reaches itself through its own REDIRECT", arguments: ["0.0.0.0", "127.0.0.1"])
  func itself(listening: String) async throws {
    try await policed.apply(Policed.outgoing("app=pod", to: "any", "any"))
    let pod = try await policed.workload("pod", "app=pod")
    let pair = try policed.pair("redirect \(listening)")
    try nat(pair.left, "OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 15001")
    try nat(pair.left, "OUTPUT -p udp --dport 53 -j REDIRECT --to-ports 15053")
    let (listener, datagrams) = try pod.run(in: pair.left) {
      (try TestSocket.listening(listening, 15001), try TestSocket.bound("127.0.0.1", 15053))
    }
    let mark = try policed.mark()
    let client = try pod.run(in: pair.left) {
      let client = try TestSocket.tcp()
      try client.connect("10.77.0.2", 80)
      return client
    }
    let server = try listener.accept()
    try client.send("to myself")
    #expect(try server.receive() == "to myself")
    for connected in [false, true] {
      let asking = try pod.run(in: pair.left) { try Self.ask("10.77.0.2", 53, connected: connected) }
      let (text, sender) = try datagrams.receiveFrom()
      #expect(text == "question")
      try pod.run(in: pair.left) { _ = try datagrams.reply("answer", to: sender) }
      #expect(try asking.receive() == "answer")
    }
    let open = try policed.told(after: mark).first {
      $0.kind == .open && $0.direction == .incoming && $0.protocol == .tcp
    }
    #expect(open?.decidedBy == .local)
  }

  @Test("a proxy of another workload behind REDIRECT is judged at both ends", arguments: [true, false])
  func proxy(allowed: Bool) async throws {
    let incoming = allowed ? Policed.incoming("app=proxy", from: "app=web", "tcp/15001, udp/15053") : ""
    try await policed.apply(
      Policed.network("far", "10.77.0.2/32") + Policed.outgoing("app=web", to: "network:far", "tcp/80, udp/53")
        + Policed.outgoing("app=web", to: "app=proxy", "tcp/80, udp/53") + incoming)
    let (web, proxy) = (try await policed.workload("web", "app=web"), try await policed.workload("proxy", "app=proxy"))
    let pair = try policed.pair("proxy \(allowed)")
    try nat(pair.left, "OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 15001")
    try nat(pair.left, "OUTPUT -p udp --dport 53 -j REDIRECT --to-ports 15053")
    let (listener, datagrams) = try proxy.run(in: pair.left) {
      (try TestSocket.listening("0.0.0.0", 15001), try TestSocket.bound("127.0.0.1", 15053))
    }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp()
      try? client.startConnect("10.77.0.2", 80)
      try? client.finishConnect(within: 400)
      return client
    }
    for connected in [false, true] {
      let asking = try? web.run(in: pair.left) { try Self.ask("10.77.0.2", 53, connected: connected) }
      guard allowed else {
        #expect(asking == nil)
        continue
      }
      let (text, sender) = try datagrams.receiveFrom()
      #expect(text == "question")
      try proxy.run(in: pair.left) { _ = try datagrams.reply("answer", to: sender) }
      #expect(try asking?.receive() == "answer")
    }
    #expect(listener.isReadable == allowed)
    #expect(!datagrams.isReadable)
    if allowed {
      let server = try listener.accept()
      try client.send("through")
      #expect(try server.receive() == "through")
    }
  }

  /// web and db in namespaces of their own behind a node that forwards, with a Service address that it translates.
  private func cluster(masquerade: Bool) throws -> (web: NetworkNamespace, db: NetworkNamespace) {
    let (node, web, db) = (try policed.makeNamespace(), try policed.makeNamespace(), try policed.makeNamespace())
    for (index, pod) in [web, db].enumerated() {
      let ip = { (namespace: NetworkNamespace, text: String) in
        try policed.sandbox.command(["ip"] + text.split(separator: " ").map(String.init), namespace: namespace)
      }
      try ip(pod, "link add eth0 type veth peer name v\(index) netns \(node.path)")
      try ip(pod, "addr add 10.91.\(index + 1).2/24 dev eth0")
      try ip(pod, "link set eth0 up")
      try ip(node, "addr add 10.91.\(index + 1).1/24 dev v\(index)")
      try ip(node, "link set v\(index) up")
      try ip(pod, "route add default via 10.91.\(index + 1).1")
    }
    try node.set(sysctl: "ipv4/ip_forward", "1")
    try nat(node, "PREROUTING -d 10.96.0.10 -p tcp --dport 80 -j DNAT --to 10.91.2.2:6379")
    if masquerade { try nat(node, "POSTROUTING -o v1 -j MASQUERADE") }
    return (web, db)
  }

  @Test("a Service that a node translates is reached, and both ends know each other", arguments: [false, true])
  func service(masquerade: Bool) async throws {
    let asked =
      Policed.network("services", "10.96.0.0/16") + Policed.outgoing("app=web", to: "network:services", "tcp/80")
    try await policed.apply(
      asked + Policed.outgoing("app=web", to: "app=db", "tcp/80")
        + Policed.incoming("app=db", from: "app=web", "tcp/6379"))
    let web = try await policed.workload("web", "app=web", at: ["10.91.1.2"])
    let db = try await policed.workload("db", "app=db", at: ["10.91.2.2"])
    let pods = try cluster(masquerade: masquerade)
    let mark = try policed.mark()
    let listener = try db.run(in: pods.db) { try TestSocket.listening("0.0.0.0", 6379) }
    let connect: @Sendable () throws -> TestSocket = {
      let client = try TestSocket.tcp()
      try client.connect("10.96.0.10", 80, within: 2000)
      return client
    }
    let client = try web.run(in: pods.web, connect)
    let server = try listener.accept()
    try client.send("question")
    #expect(try server.receive() == "question")
    let open = policed.events.first(after: mark) {
      $0.kind == .open && $0.direction == .incoming && $0.localPort == 6379
    }
    #expect(open?.assurance == .handoff)
    #expect(open?.peerWorkload == web.cgroup.id.rawValue)
    // Who really receives must be allowed as well, not only the address that was asked.
    try await policed.apply(asked + Policed.incoming("app=db", from: "app=web", "tcp/6379"))
    #expect(throws: Errno.self) {
      _ = try web.run(in: pods.web, { try TestSocket.tcp().connect("10.96.0.10", 80, within: 400) })
    }
    // And by the receiver.
    try await policed.apply(asked + Policed.outgoing("app=web", to: "app=db", "tcp/80"))
    #expect(throws: Errno.self) {
      _ = try web.run(in: pods.web, { try TestSocket.tcp().connect("10.96.0.10", 80, within: 400) })
    }
    #expect(!listener.isReadable)
  }
}
