// Reads what rules ask of processes, so that neither a reused process id nor a private mount can falsify it.
package import Kernel
internal import SystemPackage

/// Traits of processes.
///
/// **Paths.** The kernel names an executable by its path in the process's own mount namespace, which whoever made the
/// namespace can arrange at will. So a path counts only if it leads, from here, to the very same inode; otherwise the
/// process has no executable as far as rules are concerned. A file that was replaced while it runs, as package upgrades
/// do, keeps its path if the process shares our mounts.
package struct ProcessReader: Sendable {
  private let accounts: AccountNames
  private let digests: ExecutableDigests

  /// Readers that are copies of each other share what they know of accounts and digests.
  package init(accounts: AccountNames = AccountNames(), digests: ExecutableDigests = ExecutableDigests()) {
    self.accounts = accounts
    self.digests = digests
  }

  /// The traits of one process; nil when it is gone, or goes meanwhile.
  ///
  /// With `digest` also that of its executable, if it is known or can be computed at once: `ExecutableDigests` tells
  /// when one that takes longer is known.
  package func traits(of id: ProcessID, digest: Bool = false) -> ProcessTraits? {
    guard let process = try? ProcessHandle.open(id) else { return nil }
    return traits(of: process, digest: digest)
  }

  /// The same of a process that is held.
  package func traits(of process: borrowing ProcessHandle, digest: Bool = false) -> ProcessTraits? {
    guard let program = try? process.program() else { return nil }
    var traits = ProcessTraits(
      executable: Self.hostPath(program), uid: program.user, user: accounts.user(program.user), gid: program.group,
      group: accounts.group(program.group))
    if digest, let file = program.file {
      traits.digest = digests.digest(of: file, mounts: "/proc/\(process.id)/mountinfo") { () throws(KernelError) in
        try process.openExecutable()
      }
    }
    return traits
  }

  /// The traits of the processes directly in a cgroup; those that end meanwhile are left out.
  ///
  /// - Throws: when the cgroup cannot be read; EOPNOTSUPP for a threaded one, which holds threads and no processes.
  package func traits(in cgroup: CgroupDirectory, digests: Bool = false) throws(KernelError) -> [ProcessTraits] {
    // The kernel may name one twice when it moves meanwhile.
    try Set(cgroup.processes()).compactMap { traits(of: $0, digest: digests) }
  }

  /// The path by which rules may know an executable; nil if it is not the host's file of that path.
  static func hostPath(_ program: ProcessProgram) -> String? {
    guard let path = program.path?.description, let file = program.file, path.hasPrefix("/") else { return nil }
    return hostPath(path, file, sharesMounts: program.sharesMounts)
  }

  static func hostPath(_ path: String, _ file: FileIdentity, sharesMounts: Bool) -> String? {
    if let own = FileIdentity.at(path), own.isSameFile(as: file) { return path }
    guard sharesMounts, file.isUnlinked, path.hasSuffix(deleted), !path.hasPrefix("/memfd:") else { return nil }
    return String(path.dropLast(deleted.count))
  }

  /// What the kernel appends once the name is gone; a file in memory never had one.
  private static let deleted = " (deleted)"
}
