// What people call a workload: its name, its container, its unit, its cgroup.
internal import Enforcement
internal import Evidence
internal import Policy

/// Finds workloads by what people type.
struct WorkloadNames {
  let workloads: [WorkloadInstance]

  /// The one workload that a word means.
  ///
  /// - Throws: when none or several do; says what is there that is called nearly so.
  func find(_ word: String) throws -> WorkloadInstance {
    let tests: [(WorkloadInstance) -> Bool] = [
      { $0.path == word }, { $0.name == word }, { $0.labels["container.name"] == word },
      { $0.labels["sallyport.unit"] == word || $0.labels["sallyport.unit"] == "\(word).service" },
      { Self.last($0.path) == word || Self.last($0.path) == "\(word).service" },
      { Self.isContainer(word, in: $0.path) },
      { "\($0.labels["k8s.namespace"] ?? "")/\($0.labels["k8s.pod"] ?? "")" == word },
    ]
    for test in tests {
      let found = workloads.filter(test)
      if found.count == 1 { return found[0] }
      guard found.isEmpty else {
        let paths = found.prefix(4).map { $0.path.shownSafely }.joined(separator: ", ")
        throw Failure(
          "\(word.debugDescription) is \(found.count) workloads: \(paths)", remedy: "name one by its cgroup path")
      }
    }
    let known = workloads.flatMap { [$0.name, Self.last($0.path)] + Self.calls($0) }.filter { !$0.isEmpty }
    let near = Spelling.nearest(to: word, in: Set(known).sorted()).map { "did you mean \($0)? " } ?? ""
    throw Failure(
      "no workload \(word.debugDescription)",
      remedy:
        "\(near)give a name, a PID or a cgroup path such as /system.slice/nginx.service; see `sallyport workloads`")
  }

  private static func calls(_ workload: WorkloadInstance) -> [String] {
    ["container.name", "sallyport.unit"].compactMap { workload.labels[$0] }
  }

  private static func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }

  /// Whether a word is the id of the container whose cgroup this is, or its beginning.
  private static func isContainer(_ word: String, in path: String) -> Bool {
    guard word.utf8.count >= 6, word.allSatisfy(\.isHexDigit) else { return false }
    let runs = last(path).split { !$0.isHexDigit }.filter { $0.utf8.count >= 32 }
    return runs.contains { $0.hasPrefix(word.lowercased()) }
  }
}
