// The ends of a question, found from what people type.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads

/// One end of a flow that can be judged.
struct WhyEnd {
  /// What it is called in the answer.
  var title: String
  /// What policy sees when this end judges.
  var asSubject: Endpoint
  /// What policy sees when the other end judges.
  var asPeer: Endpoint
  /// Whose it is on this host; nil for labels, pods of manifests and addresses of other hosts.
  var owner: HostOwner?
  /// Whether it was asked about by labels: two of them are two workloads, also where only one has them now.
  var isByLabels = false
  /// Of a pod of manifests: which.
  var pod: String?
  /// Whether it has an enforcer of its own: an address has none, nor has what runs outside of the enforced cgroup.
  var isPoliced: Bool
  /// Whether its verdicts are reported and not applied.
  var observe = false
  /// The namespaces that it may speak from, by their place in the map.
  var spaces: [Int] = []

  /// Whether both are one workload, or both the host.
  func isSame(as other: WhyEnd) -> Bool {
    if let pod { return pod == other.pod }
    guard let owner, let otherOwner = other.owner else { return false }
    return owner.subject == otherOwner.subject
  }
}

extension HostOwner {
  /// The workload that is spoken for; nil for the host, and for what others see as the host.
  fileprivate var subject: CgroupID? {
    switch self {
    case .workload(let id), .child(let id): id
    case .host, .outside: nil
    }
  }
}

/// What somebody typed for an end.
enum WhySubject {
  /// One end, wherever it is.
  case end(WhyEnd)
  /// An address, with the port if one was given.
  case address(IPAddress, port: UInt16?)
}

/// Reads what people type.
struct WhyReader {
  let policy: PolicySet
  let workloads: [WorkloadInstance]
  /// The namespaces and sockets of this host; nil where they cannot be looked at, or nobody enforces here.
  var map: HostMap?

  func read(_ text: String) throws -> WhySubject {
    switch text {
    case "host": return .end(end(of: .host))
    case "world": return .end(WhyEnd(title: text, asSubject: .world, asPeer: .world, isPoliced: false))
    case "unknown": return .end(WhyEnd(title: text, asSubject: .unknown, asPeer: .unknown, isPoliced: false))
    default: break
    }
    if let (address, port) = try Self.address(text) { return .address(address, port: port) }
    if let pod = policy.pods.first(where: { $0.title == text }) {
      let endpoint = Endpoint.workload(pod.labels)
      return .end(WhyEnd(title: text, asSubject: endpoint, asPeer: endpoint, pod: text, isPoliced: true))
    }
    if text.hasPrefix("/") { return .end(try cgroup(text)) }
    if let pid = Int32(text) { return .end(try process(pid)) }
    if text.contains("=") {
      let endpoint = Endpoint.workload(try LabelSet(arguments: [text]))
      // What has exactly these labels now says where it speaks from.
      let own = workloads.filter { $0.labels == endpoint.labels }
      let spaces = own.flatMap { map?.spaces(of: .workload($0.cgroup)) ?? [] }
      return .end(
        WhyEnd(
          title: text, asSubject: endpoint, asPeer: endpoint, owner: own.count == 1 ? .workload(own[0].cgroup) : nil,
          isByLabels: true, isPoliced: true, observe: !own.isEmpty && own.allSatisfy(\.observe),
          spaces: Set(spaces).sorted()))
    }
    let found = try WorkloadNames(workloads: workloads).find(text)
    return .end(end(of: .workload(found.cgroup)))
  }

  /// An end by its owner.
  func end(of owner: HostOwner) -> WhyEnd {
    let spaces = map?.spaces(of: owner) ?? []
    func host(_ title: String, isPoliced: Bool) -> WhyEnd {
      WhyEnd(
        title: title, asSubject: .host(), asPeer: .host(), owner: owner, isPoliced: isPoliced,
        // What the host is asked for most is what it does in its own namespace.
        spaces: spaces.contains(0) || isPoliced && map != nil ? [0] : spaces)
    }
    switch owner {
    case .host: return host("host", isPoliced: true)
    case .outside: return host("host (outside of the enforced cgroup)", isPoliced: false)
    case .workload(let id), .child(let id):
      guard let workload = workloads.first(where: { $0.cgroup == id }) else { return host("host", isPoliced: true) }
      let labels = Endpoint.workload(workload.labels)
      var made = WhyEnd(
        title: title(of: workload), asSubject: labels, asPeer: labels, owner: owner, isPoliced: true,
        observe: workload.observe, spaces: spaces)
      if case .child = owner {
        made.title = "an unlabelled child of \(made.title)"
        made.asSubject = .unlabelled(childOf: workload.path)
        // Under observation nothing changes for others.
        if !workload.observe { made.asPeer = made.asSubject }
      }
      return made
    }
  }

  private func title(of workload: WorkloadInstance) -> String {
    let own = workload.labels.labels.filter { !Label.isReserved($0.key) }.map { "\($0.key)=\($0.value)" }
    let name = workload.name.isEmpty ? own.joined(separator: ",") : workload.name
    return name.isEmpty ? workload.path : "\(name) (\(workload.path))"
  }

  private func cgroup(_ text: String) throws -> WhyEnd {
    let path = FilePath(text).lexicallyNormalized()
    if let map {
      let owner = map.owner(at: path)
      let isThere = (try? CgroupHierarchy.find().directory(at: path)) != nil
      if map.workload(of: owner)?.path == path.string || isThere {
        var made = end(of: owner)
        if made.spaces.isEmpty || owner == .host { made.spaces = spaces(of: path) ?? made.spaces }
        return made
      }
    }
    return end(of: .workload(try WorkloadNames(workloads: workloads).find(path.string).cgroup))
  }

  /// The namespaces of the threads of one cgroup.
  private func spaces(of path: FilePath) -> [Int]? {
    guard let map, let directory = try? CgroupHierarchy.find().directory(at: path) else { return nil }
    var found: Set<Int> = []
    for thread in (try? directory.threads()) ?? [] {
      guard let namespace = try? NetworkNamespace.open(FilePath("/proc/\(thread)/ns/net")),
        let index = map.spaces.firstIndex(where: { $0.namespace.identity == namespace.identity })
      else { continue }
      found.insert(index)
    }
    return found.isEmpty ? nil : found.sorted()
  }

  private func process(_ pid: Int32) throws -> WhyEnd {
    let id = ProcessID(rawValue: pid)
    guard let process = try? ProcessHandle.open(id), let membership = try? CgroupHierarchy.membership(of: id) else {
      throw Failure("there is no process \(pid)", remedy: "name a running process, a workload or labels")
    }
    guard let map else {
      throw Failure("process \(pid): its workload is not known", remedy: "start the agent, or name labels")
    }
    let namespace = try NetworkNamespace.of(process)
    var made = end(of: map.owner(at: membership.path))
    made.title = "process \(pid) of \(made.title)"
    made.spaces = map.spaces.indices.filter { map.spaces[$0].namespace.identity == namespace.identity }
    return made
  }

  /// Reads `10.0.0.1`, `10.0.0.1:443`, `fd00::1` or `[fd00::1]:443`; nil for what is no address.
  static func address(_ text: String) throws -> (IPAddress, UInt16?)? {
    if let address = try? IPAddress(parsing: text) { return (address, nil) }
    let (host, port): (Substring, Substring)
    if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
      host = text[text.index(after: text.startIndex)..<end]
      port = text[text.index(after: end)...]
      if port.isEmpty, let address = try? IPAddress(parsing: String(host)) { return (address, nil) }
    } else if let colon = text.lastIndex(of: ":"), !text[..<colon].contains(":") {
      (host, port) = (text[..<colon], text[colon...])
    } else {
      return nil
    }
    guard let address = try? IPAddress(parsing: String(host)) else { return nil }
    guard port.hasPrefix(":"), let number = UInt16(port.dropFirst()), number > 0 else {
      throw Failure(
        "\(text.debugDescription): \(port.dropFirst()) is not a port", remedy: "write \(host):443", status: .usage)
    }
    return (address, number)
  }
}
