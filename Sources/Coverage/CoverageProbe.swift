// Makes every probe and writes the statement.
package import Enforcement
internal import Glibc
package import Kernel
internal import SystemPackage

/// Finds out by trying what a datapath covers on this kernel.
package enum CoverageProbe {
  /// Where the probes are made.
  package struct Site: Sendable {
    /// The cgroup below which the probe makes its own; nothing is attached to this one itself.
    package var parent: CgroupDirectory
    /// A state directory of its own: made and removed again; its parent must be there.
    package var state: StateDirectory
    /// Where BPF objects are pinned meanwhile.
    package var bpffs: String

    package init(parent: CgroupDirectory, state: StateDirectory, bpffs: String = "/sys/fs/bpf") {
      self.parent = parent
      self.state = state
      self.bpffs = bpffs
    }
  }

  /// Makes real traffic between workloads of its own, in namespaces of its own, under a policy of its own.
  ///
  /// Everything it makes is gone afterwards, also when it fails. Takes some hundred milliseconds, on a thread of its own.
  /// - Throws: when no probe could be made at all; what fails in one probe is in its line.
  package static func run(
    _ classes: [TrafficClass] = TrafficClass.allCases, on kind: DatapathKind, at site: Site
  ) async throws -> CoverageStatement {
    let began = Clock.monotonicNanoseconds()
    let arena = try await onThread { try Arena.open(kind, below: site.parent, state: site.state, bpffs: site.bpffs) }
    let result: Result<[CoverageStatement.Line], any Error>
    do {
      result = .success(try await lines(classes, in: arena))
    } catch {
      result = .failure(error)
    }
    // Of the programs that were probed, so before they go.
    let programs = (try? arena.datapath.programTags()) ?? [:]
    try await onThread { arena.close() }
    return CoverageStatement(
      kernel: kernelRelease(), datapath: kind.rawValue, programs: programs,
      milliseconds: Int((Clock.monotonicNanoseconds() - began) / 1_000_000), lines: try result.get())
  }

  /// The state directory of the probes of an agent with this state directory.
  package static func stateDirectory(in state: StateDirectory) -> StateDirectory {
    StateDirectory("\(state.path)/coverage")
  }

  /// Removes what probes left behind because their process was killed.
  ///
  /// - Throws: when they run right now, or something cannot be removed.
  package static func removeRemains(of state: StateDirectory, bpffs: String = "/sys/fs/bpf") throws {
    try Arena.removeRemains(of: state, bpffs: bpffs)
  }

  private static func lines(_ classes: [TrafficClass], in arena: Arena) async throws -> [CoverageStatement.Line] {
    try await arena.begin()
    var lines: [CoverageStatement.Line] = []
    for traffic in classes { lines.append(await line(traffic, in: arena)) }
    return lines
  }

  /// What one class's probe finds; its failure is part of the statement.
  private static func line(_ traffic: TrafficClass, in arena: Arena) async -> CoverageStatement.Line {
    do {
      let finding =
        switch traffic {
        case .retaggedSocket: try await arena.retagging()
        case .tcpRevocation: try await arena.tightening(.stream)
        case .udpRevocation: try await arena.tightening(.datagram)
        default: try await onThread { try traffic.probe(in: arena) }
        }
      let hasGap = finding.result == .partly || finding.result == .notCovered
      let why = [finding.reason, hasGap ? traffic.cause : ""].filter { !$0.isEmpty }
      return CoverageStatement.Line(
        traffic: traffic, result: finding.result, seen: finding.seen,
        why: why.joined(separator: " (") + (why.count > 1 ? ")" : ""))
    } catch let absent as Absent {
      return CoverageStatement.Line(traffic: traffic, result: .absent, why: absent.reason)
    } catch {
      return CoverageStatement.Line(traffic: traffic, result: .unknown, why: "\(error)")
    }
  }

  /// The kernel's release.
  static func kernelRelease() -> String {
    (try? readKernelFile("/proc/sys/kernel/osrelease"))?.split(separator: "\n").first.map(String.init) ?? ""
  }

  /// Runs what blocks on a thread of its own: Swift's pool has few.
  static func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    let result = await withCheckedContinuation { (done: CheckedContinuation<Result<T, any Error>, Never>) in
      do throws(KernelError) {
        _ = try DedicatedThread.start("coverage") { done.resume(returning: Result { try body() }) }
      } catch {
        done.resume(returning: .failure(error))
      }
    }
    return try result.get()
  }
}
