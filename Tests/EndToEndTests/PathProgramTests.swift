// What people look at paths with, through a router and a narrower link: ping, traceroute, tracepath, mtr; and what the
// kernel itself needs: path MTU discovery.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

/// A workload's namespace, a router's that the workload made too, and one that is not policed behind a narrower link.
struct RoutedPath: Sendable {
  let near: NetworkNamespace
  let far: NetworkNamespace

  static let mtu = 1400
  static let router = [Family.ipv4: "10.79.1.254", .ipv6: "fd79:1::fe"]
  static let farther = [Family.ipv4: "10.79.2.2", .ipv6: "fd79:2::2"]

  init(_ policed: Policed, by thread: PolicedThread) throws {
    near = try policed.makeNamespace()
    far = try policed.sandbox.makeNamespace()
    let router = try thread.run { try NetworkNamespace.anonymous() }
    try router.bringLoopbackUp()
    try policed.datapath.police([router])
    let ip = { (words: String, place: NetworkNamespace) in
      try policed.sandbox.command(["ip"] + words.split(separator: " ").map(String.init), namespace: place)
    }
    for (side, end, name) in [(1, near, "up1"), (2, far, "up2")] {
      try ip("link add \(name) type veth peer name sp0 netns \(end.path.string)", router)
      let own = side == 1 ? (near, 1) : (far, 2)
      for (place, device, host) in [(router, name, "254"), (own.0, "sp0", "\(own.1)")] {
        let last = device == "sp0" ? "\(own.1)" : "fe"
        try ip("addr add 10.79.\(side).\(host)/24 dev \(device)", place)
        try ip("addr add fd79:\(side)::\(last)/64 dev \(device) nodad", place)
        if side == 2 { try ip("link set \(device) mtu \(Self.mtu)", place) }
        try ip("link set \(device) up", place)
      }
      try ip("route add default via 10.79.\(side).254", own.0)
      try ip("-6 route add default via fd79:\(side)::fe", own.0)
    }
    try router.set(sysctl: "ipv4/ip_forward", "1")
    try router.set(sysctl: "ipv6/conf/all/forwarding", "1")
    for place in [router, far] { try place.set(sysctl: "ipv4/icmp_ratelimit", "0") }
    for place in [router, far] { try place.set(sysctl: "ipv6/icmp/ratelimit", "0") }
    routed = router
  }

  private let routed: NetworkNamespace
}

@Suite("Programs that look at paths", .serialized, .requires(.policing), .policed)
struct PathProgramTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// A path of its own, and the workload that uses it with an outgoing rule and none for what comes in.
  private func path(_ ports: String) async throws -> (cgroup: CgroupDirectory, web: PolicedThread, path: RoutedPath) {
    try await policed.apply(Policed.outgoing("app=web", to: "any", ports))
    let web = try await policed.workload("web", "app=web")
    return (web.cgroup, web, try RoutedPath(policed, by: web))
  }

  /// Runs a program as the workload; its exit code and what it printed.
  private func run(
    _ words: [String], in cgroup: CgroupDirectory, _ namespace: NetworkNamespace
  ) throws -> (status: Int32, text: String) {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let file = try OwnedDescriptor.open(FilePath("\(directory.path)/out"), flags: O_RDWR | O_CREAT, mode: 0o600)
    let status = try policed.sandbox.start(words, cgroup: cgroup, namespace: namespace, output: file.raw).wait()
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = unsafe pread(file.raw, &bytes, bytes.count, 0)
    return (status, String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self))
  }

  @Test(
    "traceroute shows both hops by ICMP, UDP and TCP", .requires(.program("traceroute")),
    arguments: [Family.ipv4, .ipv6], ["-I", "-U -p 9999", "-T -p 9000", ""])
  func traceroute(family: Family, how: String) async throws {
    let (cgroup, _, path) = try await path("icmp/8, icmp6/128, udp/9999, tcp/9000, udp/33434-33534")
    let (router, far) = (RoutedPath.router[family] ?? "", RoutedPath.farther[family] ?? "")
    let words =
      ["traceroute", "-n", "-q", "1", "-w", "3", "-m", "4"] + how.split(separator: " ").map(String.init) + [far]
    let out = try run(words, in: cgroup, path.near)
    #expect(out.status == 0)
    let lines = out.text.split(separator: "\n").dropFirst().map {
      $0.split(separator: " ").prefix(2).joined(separator: " ")
    }
    #expect(lines == ["1 \(router)", "2 \(far)"], "\(out.text)")
  }

  @Test(
    "so does one that reads a raw ICMP socket while it sends by another", .requires(.program("busybox")),
    .requires(.program("mtr")), arguments: [Family.ipv4, .ipv6])
  func separateSockets(family: Family) async throws {
    let (cgroup, _, path) = try await path("icmp/8, icmp6/128, udp/33434-33534")
    let (router, far) = (RoutedPath.router[family] ?? "", RoutedPath.farther[family] ?? "")
    let name = family == .ipv4 ? "traceroute" : "traceroute6"
    let busybox = try run(["busybox", name, "-n", "-q", "1", "-w", "3", "-m", "4", far], in: cgroup, path.near)
    #expect(busybox.text.contains("1  \(router)") && busybox.text.contains("2  \(far)"), "\(busybox.text)")
    for how in [[], ["-u", "-P", "33440"]] {
      let mtr = try run(
        ["mtr", "-n", "-r", "-c", "2", "-i", "1", "-G", "2", "-m", "4"] + how + [far], in: cgroup, path.near)
      #expect(mtr.text.contains(router) && mtr.text.contains(far), "\(how) \(mtr.text)")
    }
  }

  @Test(
    "tracepath finds the narrower link, and ping is told of it",
    .requires(.program("tracepath")), .requires(.program("ping")), arguments: [Family.ipv4, .ipv6])
  func narrower(family: Family) async throws {
    let (cgroup, _, path) = try await path("icmp/8, icmp6/128, udp/44444-44600")
    let far = RoutedPath.farther[family] ?? ""
    let out = try run(["tracepath", "-n", "-m", "4", far], in: cgroup, path.near)
    #expect(out.text.contains("pmtu \(RoutedPath.mtu)") && out.text.contains("reached"), "\(out.text)")
    #expect(try run(["ping", "-n", "-c", "1", "-W", "5", far], in: cgroup, path.near).status == 0)
  }

  @Test(
    "a packet too large for the path is an error for UDP, and TCP sends smaller ones", arguments: [Family.ipv4, .ipv6])
  func pathMTU(family: Family) async throws {
    let (_, web, path) = try await path("udp/9100, tcp/9101")
    let far = RoutedPath.farther[family] ?? ""
    let listener = try path.far.run { try TestSocket.listening(far, 9101) }
    let datagrams = try path.far.run { try TestSocket.bound(far, 9100) }
    let large = String(repeating: "x", count: 1440)
    let udp = try web.run(in: path.near) {
      let socket = try TestSocket.udp(family)
      // IP_MTU_DISCOVER or IPV6_MTU_DISCOVER: always, and no fragments.
      try socket.setOption(family == .ipv4 ? 0 : 41, family == .ipv4 ? 10 : 23, 2)
      try socket.connect(far, 9100)
      try socket.send(large)
      return socket
    }
    // The router's error, about our own flow.
    try udp.wait(for: Int16(POLLERR), TestSocket.patience)
    #expect(throws: Errno.messageTooLong) { try udp.throwPendingError() }
    #expect(try web.refusal(in: path.near) { try udp.send(large) } == .messageTooLong)
    try web.run(in: path.near) { _ = try udp.send("fits") }
    #expect(try datagrams.receive() == "fits")

    let bytes = [UInt8](repeating: 0x78, count: 200_000)
    let (client, sent) = try web.run(in: path.near) {
      let client = try TestSocket.tcp(family)
      try client.connect(far, 9101)
      return (client, try client.send(rawBytes: bytes))
    }
    defer { withExtendedLifetime(client) {} }
    let server = try listener.accept()
    var received = 0
    while received < sent { received += try server.receiveBytes().count }
    #expect(received == sent && sent > 50_000)
  }

  @Test("a neighbour solicitation by a program needs a rule, its answer does not", .requires(.program("ndisc6")))
  func solicitation() async throws {
    let (cgroup, _, path) = try await path("tcp/1")
    let words = ["ndisc6", "-n", "-1", "-r", "1", "-w", "1000", "fd79:1::fe", "sp0"]
    #expect(try run(words, in: cgroup, path.near).status != 0)
    try await policed.apply(Policed.outgoing("app=web", to: "any", "icmp6/135"))
    let out = try run(words, in: cgroup, path.near)
    #expect(out.status == 0 && out.text.contains("fd79:1::fe"), "\(out.text)")
  }
}
