// The traits of processes that rules may ask for.
public import Kernel
internal import SystemPackage

/// Reads processes through pidfds, so that a reused number cannot mislabel.
public struct ProcessReader: Sendable {
  /// Makes one.
  public init() {}

  /// The traits of the processes directly in a cgroup; those that end meanwhile are left out.
  public func traits(in cgroup: CgroupDirectory, digests: Bool) -> [ProcessTraits] {
    guard let ids = try? cgroup.processes() else { return [] }
    let users = UserNames.read()
    var traits: [ProcessTraits] = []
    for id in Set(ids.map(\.rawValue)) {
      guard let process = try? ProcessHandle.open(ProcessID(rawValue: id)), let facts = try? process.facts() else {
        continue
      }
      traits.append(
        ProcessTraits(
          executable: facts.executable.map { Self.currentName($0.description) }, uid: facts.user,
          user: users[facts.user]))
    }
    return traits
  }

  /// The kernel appends ` (deleted)` once the file was replaced, as package upgrades do: still the same program.
  static func currentName(_ executable: String) -> String {
    let suffix = " (deleted)"
    return executable.hasSuffix(suffix) ? String(executable.dropLast(suffix.count)) : executable
  }
}
