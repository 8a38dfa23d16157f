// What the enforcer is told about the workloads of this host, one value per labelled cgroup.

package import Kernel
package import Policy

/// One labelled cgroup: everything in it, and below it down to the next labelled one, is this workload.
package struct WorkloadInstance: Sendable, Equatable {
  /// The cgroup's id: the inode number of its directory.
  package var cgroup: CgroupID
  /// The cgroup's path from the root of the hierarchy, with `/` first.
  package var path: String
  /// How many directories `path` has; the root is 0.
  package var level: Int
  /// What the workload is labelled with.
  package var labels: LabelSet
  /// Whether its verdicts are reported and not applied.
  package var observe: Bool
  /// Whether traffic of cgroups below it that have no labels of their own is refused instead of being its own.
  package var rejectsUnlabelledChildren: Bool
  /// Who said so: a workload rule's name, `exec`, an extended attribute.
  package var source: String
  /// Addresses that are this workload's alone.
  package var addresses: [IPAddress]
  /// What people call it; empty if they do not.
  package var name: String
  /// Since when it has these labels, in nanoseconds since 1970; 0 if nobody noted it.
  package var since: UInt64

  package init(
    cgroup: CgroupID, path: String, level: Int, labels: LabelSet, observe: Bool = false,
    rejectsUnlabelledChildren: Bool = false, source: String = "", addresses: [IPAddress] = [],
    name: String = "", since: UInt64 = 0
  ) {
    self.cgroup = cgroup
    self.path = path
    self.level = level
    self.labels = labels
    self.observe = observe
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
    self.source = source
    self.addresses = addresses
    self.name = name
    self.since = since
  }
}

extension WorkloadInstance: Codable {
  private enum Key: String, CodingKey {
    case cgroup, path, level, labels, observe, rejectsUnlabelledChildren, source, addresses, name, since
  }

  /// Reads what `encode(to:)` wrote; labels and addresses are checked again.
  package init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    cgroup = CgroupID(rawValue: try values.decode(UInt64.self, forKey: .cgroup))
    path = try values.decode(String.self, forKey: .path)
    level = try values.decode(Int.self, forKey: .level)
    labels = try LabelSet(decoding: values.decode([String: String].self, forKey: .labels))
    observe = try values.decode(Bool.self, forKey: .observe)
    rejectsUnlabelledChildren = try values.decodeIfPresent(Bool.self, forKey: .rejectsUnlabelledChildren) ?? false
    source = try values.decode(String.self, forKey: .source)
    addresses = try values.decode([String].self, forKey: .addresses).map { text in try IPAddress(parsing: text) }
    name = try values.decodeIfPresent(String.self, forKey: .name) ?? ""
    since = try values.decodeIfPresent(UInt64.self, forKey: .since) ?? 0
  }

  /// Labels become an object, addresses text.
  package func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: Key.self)
    try values.encode(cgroup.rawValue, forKey: .cgroup)
    try values.encode(path, forKey: .path)
    try values.encode(level, forKey: .level)
    try values.encode(labels.dictionary, forKey: .labels)
    try values.encode(observe, forKey: .observe)
    if rejectsUnlabelledChildren { try values.encode(true, forKey: .rejectsUnlabelledChildren) }
    try values.encode(source, forKey: .source)
    try values.encode(addresses.map(\.description), forKey: .addresses)
    if !name.isEmpty { try values.encode(name, forKey: .name) }
    if since != 0 { try values.encode(since, forKey: .since) }
  }
}

extension LabelSet {
  /// The labels as JSON has them.
  var dictionary: [String: String] {
    Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
  }

  /// Takes labels as JSON has them.
  init(decoding dictionary: [String: String]) throws(LabelError) {
    var labels: [Label] = []
    for (key, value) in dictionary { labels.append(try Label(key, value)) }
    try self.init(labels)
  }
}
