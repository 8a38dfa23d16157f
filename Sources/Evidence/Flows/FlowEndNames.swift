// What the ends of flow records are called in a table.

package import Enforcement
internal import Policy

/// Short names of ends: what people call a workload, else its own labels, its place, its address.
package struct FlowEndNames: Sendable {
  private let names: [String: String]

  /// Knows no names; labels, paths and addresses are shown.
  package init() { names = [:] }

  /// Takes the names of the workloads that a snapshot has.
  package init(_ snapshot: Snapshot?) {
    names = Dictionary(
      (snapshot?.workloads ?? []).filter { !$0.name.isEmpty }.map { ($0.path, $0.name) },
      uniquingKeysWith: { first, _ in first })
  }

  /// What people call the workload of a cgroup; nil if they do not, or it is gone.
  package func name(of path: String) -> String? { names[path] }

  /// What to call one end.
  package func name(of end: FlowLine.End) -> String {
    if let path = end.workload, let name = names[path] { return name }
    let labels = end.labels ?? [:]
    if let networks = end.networks, !networks.isEmpty { return end.name }
    let own = labels.filter { !Label.isReserved($0.key) }.sorted { $0.key < $1.key }
    if !own.isEmpty { return own.map { "\($0.key)=\($0.value)" }.joined(separator: ",") }
    for key in ["container.name", "sallyport.unit"] {
      if let name = labels[key] { return name }
    }
    if let path = end.workload, let last = path.split(separator: "/").last { return String(last) }
    let name = end.name
    // A socket that is not bound yet has no address to tell it by.
    if name == "unknown", end.address == "::" || end.address == "0.0.0.0" { return name }
    return name.isEmpty || name == "world" || name == "unknown" ? end.address : name
  }
}
