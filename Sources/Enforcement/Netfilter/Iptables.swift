// The programs of iptables: where they are, and running them in a network namespace.
internal import Kernel
internal import SystemPackage

/// Which kernel interface a program of iptables speaks.
enum IptablesBackend: String, Sendable, CaseIterable {
  /// ip_tables.
  case legacy
  /// nf_tables.
  case nft
}

/// iptables, ip6tables and their save and restore programs.
struct Iptables: Sendable {
  /// What is asked of a program.
  enum Purpose: String, Sendable {
    case save
    case restore
  }

  /// Where the programs are looked for, in order; never PATH, which is the caller's.
  var directories = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"]
  /// What they see: PATH is for the kernel modules that they load.
  var environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]
  /// How long another user of the xtables lock is waited for.
  var lockWait: Duration = .seconds(10)
  /// How long a program may take; nil = as long as it likes.
  var limit: Duration?

  // MARK: Programs

  /// The program of a backend; nil if it is not installed.
  func program(_ family: IPFamily, _ backend: IptablesBackend, _ purpose: Purpose) -> FilePath? {
    let name = family == .ipv4 ? "iptables" : "ip6tables"
    if let path = find("\(name)-\(backend)-\(purpose)") { return path }
    // Some distributions have one of them alone, under the plain name.
    guard let path = find("\(name)-\(purpose)"), self.backend(ofPlain: name) == backend else { return nil }
    return path
  }

  /// From its version: `iptables v1.8.9 (nf_tables)`; before 1.8 there was one kind and no word for it.
  private func backend(ofPlain name: String) -> IptablesBackend? {
    guard let path = find(name),
      let said = try? CapturedProcess.run(path, ["--version"], environment: environment, within: limit),
      said.status == 0
    else { return nil }
    return said.output.contains("nf_tables") ? .nft : .legacy
  }

  private func find(_ name: String) -> FilePath? {
    directories.map { "\($0)/\(name)" }.first { isThere($0) }.map { FilePath($0) }
  }

  // MARK: Running

  /// What `save` prints of the filter table, or of all tables.
  ///
  /// Without a side effect only where that table is there already: see `PacketFilterTables`.
  func save(
    _ family: IPFamily, _ backend: IptablesBackend, in namespace: NetworkNamespace, table: String? = "filter"
  ) throws(DatapathError) -> String {
    let said = try run(family, backend, .save, table.map { ["-t", $0] } ?? [], in: namespace)
    guard said.status == 0, !said.isIncompatible else {
      throw IptablesFault(family, backend, namespace, said, text: "", tools: self).error("read rules of")
    }
    return said.output
  }

  /// Applies a transaction: all of it or nothing.
  func restore(
    _ text: String, _ family: IPFamily, _ backend: IptablesBackend, in namespace: NetworkNamespace
  ) throws(DatapathError) {
    let said = try run(
      family, backend, .restore, ["--noflush", "-w", "\(lockWait.components.seconds)"], in: namespace, input: text)
    guard said.status != 0 else { return }
    throw IptablesFault(family, backend, namespace, said, text: text, tools: self).error("change rules of")
  }

  private func run(
    _ family: IPFamily, _ backend: IptablesBackend, _ purpose: Purpose, _ arguments: [String],
    in namespace: NetworkNamespace, input: String = ""
  ) throws(DatapathError) -> CapturedProcess {
    guard let path = program(family, backend, purpose) else { throw missing(family, backend) }
    do throws(KernelError) {
      return try CapturedProcess.run(
        path, arguments, environment: environment, namespace: namespace, input: input, within: limit)
    } catch {
      throw DatapathError("run", path.string, underlying: error)
    }
  }

  /// That a backend's programs are not installed.
  func missing(_ family: IPFamily, _ backend: IptablesBackend?) -> DatapathError {
    let name = family == .ipv4 ? "iptables" : "ip6tables"
    return DatapathError(
      "find", backend.map { "\(name)-\($0)-restore" } ?? name,
      reason: "it is not in \(directories.joined(separator: ", "))",
      remedy: "install the package iptables, or choose the other variant")
  }
}
