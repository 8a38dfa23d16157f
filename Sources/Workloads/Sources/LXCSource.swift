// Containers of LXC and systemd-nspawn: system containers, of which only the name is known.
internal import Kernel

/// Names of LXC's and systemd-nspawn's containers.
///
/// Neither has labels. LXC calls a second cgroup of the same name `NAME-1`, so the name is that of the folder with its
/// configuration, if there is one.
package struct LXCSource: LabelSource {
  private let containers: String
  private let witness = ContainerWitness()

  /// Takes `lxc.lxcpath` (lxc.system.conf(5)).
  package init(containers: String = "/var/lib/lxc") { self.containers = containers }

  /// `lxc`.
  package var name: String { "lxc" }
  /// It knows containers.
  package var describesProcesses: Bool { true }

  /// Whether it is a system container's own cgroup.
  package func claims(_ place: CgroupPlace) -> Bool { reference(place) != nil }

  private func reference(_ place: CgroupPlace) -> ContainerReference? {
    guard let reference = ContainerReference(path: place.path), reference.isOwnCgroup, reference.user == nil,
      reference.runtime == .lxc || reference.runtime == .nspawn
    else { return nil }
    return reference
  }

  /// The container's name.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let reference = reference(place), let runtime = reference.runtime else { return nil }
    if let objection = witness.objection(to: reference, process: 0) {
      throw SourceFault(name, "container \(reference.id)", objection, isPassing: false)
    }
    let facts = ContainerFacts(
      runtime: runtime.rawValue, name: runtime == .lxc ? configured(reference.id) : reference.id)
    return facts.sourceLabels
  }

  private func configured(_ id: String) -> String {
    guard !isConfigured(id), let dash = id.lastIndex(of: "-"), id[dash...].dropFirst().allSatisfy(\.isNumber),
      isConfigured(String(id[..<dash]))
    else { return id }
    return String(id[..<dash])
  }

  private func isConfigured(_ name: String) -> Bool {
    name != "." && name != ".." && isThere("\(containers)/\(name)/config")
  }
}
