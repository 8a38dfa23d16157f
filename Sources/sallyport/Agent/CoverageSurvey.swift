// `STATE/coverage.json`: what the datapath covers on this kernel, tried once in the background and kept.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import SystemPackage

/// Tries what the datapath covers, unless that is known already: same kernel, same kind of datapath, same programs.
struct CoverageSurvey: Service {
  let kind: DatapathKind
  /// The programs that enforce, by name.
  let programs: [String: String]
  /// The cgroup that is enforced on; the probe stands beside it where it can, so that policy in force is not asked.
  let policed: CgroupDirectory
  let state: FilePath
  let logger: Logger

  func run() async throws {
    let file = Self.file(in: state)
    if let known = Self.read(file), known.holds(for: kind, programs) { return }
    do {
      let statement = try await CoverageProbe.run(on: kind, at: site)
      try replaceFile(file, with: try Document.line(statement))
      let tenths = (statement.milliseconds + 50) / 100
      logger.info(
        """
        coverage self-test: \(statement.count(.covered)) covered, \(statement.count(.partly)) partly, \
        \(statement.count(.notCovered)) not (\(tenths / 10).\(tenths % 10) s)
        """)
    } catch {
      // Nothing depends on the statement but what people know.
      logger.warning("coverage self-test failed: \(error)")
    }
  }

  private var site: CoverageProbe.Site {
    let above = policed.path.removingLastComponent()
    let parent = above == policed.path ? nil : try? policed.hierarchy.directory(at: above)
    return CoverageProbe.Site(
      parent: parent ?? policed, state: CoverageProbe.stateDirectory(in: StateDirectory(state.string)))
  }

  /// Where it is kept.
  static func file(in state: FilePath) -> FilePath { state.appending("coverage.json") }

  /// What was kept; nil if there is none that can be read.
  static func read(_ file: FilePath) -> CoverageStatement? {
    guard let bytes = try? readKernelBytes(file) else { return nil }
    return try? Document.read(CoverageStatement.self, from: bytes)
  }
}
