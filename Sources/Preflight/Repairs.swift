// What --fix does: only what the findings name, one after the other, each with what came of it.
internal import Enforcement
package import Kernel
internal import SystemPackage

/// One repair, done or not.
package struct RepairResult: Sendable {
  /// What was to be done.
  package let repair: Repair
  /// The checks that asked for it.
  package let checks: [String]
  /// Nil once it is done; else why it could not be.
  package let failure: KernelError?
}

extension Survey {
  /// What the findings say can be repaired, each once, with the checks that ask for it.
  package var repairs: [(repair: Repair, checks: [String])] {
    var found: [(repair: Repair, checks: [String])] = []
    for row in rows {
      for repair in row.finding.repairs {
        if let known = found.firstIndex(where: { $0.repair == repair }) {
          found[known].checks.append(row.check.name)
        } else {
          found.append((repair, [row.check.name]))
        }
      }
    }
    return found
  }

  /// Does all of them; one that fails does not keep the others from being done.
  ///
  /// `root` is where files are written below: empty for the machine itself.
  package func repair(below root: String = "") -> [RepairResult] {
    repairs.map { repair, checks in
      do throws(KernelError) {
        try repair.perform(below: root)
        return RepairResult(repair: repair, checks: checks, failure: nil)
      } catch {
        return RepairResult(repair: repair, checks: checks, failure: error)
      }
    }
  }
}

extension Repair {
  /// Does it; does nothing where it has been done.
  func perform(below root: String) throws(KernelError) {
    switch self {
    case .loadModule(let name): try Self.insert(name)
    case .mountBPF(let path):
      try makeDirectory(root + path, mode: 0o700, mayExist: true)
      try BPFFilesystem(path: root + path).mountIfMissing()
    case .setKernelParameter(let path, let value): try writeKernelFile(FilePath(root + path), value)
    case .writeUnitDropIn(let path, let text):
      let file = FilePath(root + path)
      try makeDirectory(file.removingLastComponent().string, mode: 0o755, mayExist: true)
      try replaceFile(file, with: Array(text.utf8), mode: 0o644)
    }
  }

  private static func insert(_ name: String) throws(KernelError) {
    let programs = RuleTrial.directories.map { "\($0)/modprobe" }
    guard let program = programs.first(where: { isThere($0) }) else {
      throw KernelError("load module", name, .noSuchFileOrDirectory, remedy: "install the package kmod")
    }
    let said = try CapturedProcess.run(
      FilePath(program), ["--", name], environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"],
      within: .seconds(10))
    guard said.status != 0 else { return }
    throw KernelError("load module", name, .canceled, remedy: "modprobe says: \(said.errors.trimmed)")
  }
}
