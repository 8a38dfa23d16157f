// What is left out of a policy because it is something else: applications, templates, build files.

/// Documents that are left out, told in one line.
struct LeftOut {
  private var kinds: [String: Int] = [:]
  private var first: SourceLocation?
  private var withoutNamespace: (count: Int, first: SourceLocation)?

  /// The most kinds that are named.
  private static let mostNamed = 12

  mutating func add(_ kind: String, _ location: SourceLocation) {
    kinds[String(kind.unicodeScalars.prefix(64)), default: 0] += 1
    first = first ?? location
  }

  /// Notes a policy that names no namespace.
  mutating func addWithoutNamespace(_ location: SourceLocation) {
    withoutNamespace = ((withoutNamespace?.count ?? 0) + 1, withoutNamespace?.first ?? location)
  }

  mutating func add(_ other: LeftOut) {
    kinds.merge(other.kinds) { $0 + $1 }
    first = first ?? other.first
    if let more = other.withoutNamespace {
      withoutNamespace = ((withoutNamespace?.count ?? 0) + more.count, withoutNamespace?.first ?? more.first)
    }
  }

  /// Says it in one line each.
  func summarise(_ reader: inout DocumentReader) {
    if let first {
      let sorted = kinds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      let named = sorted.prefix(Self.mostNamed).map { kind, count in
        let shown = kind.utf8.allSatisfy { Label.isAlphanumeric($0) } ? kind : kind.shown
        return count == 1 ? shown : "\(count) \(shown)"
      }
      let more = sorted.count > Self.mostNamed ? " and \(sorted.count - Self.mostNamed) kinds more" : ""
      let count = kinds.values.reduce(0, +)
      reader.warn(
        first, "",
        "\(count) \(count == 1 ? "object holds" : "objects hold") no network policy and "
          + "\(count == 1 ? "is" : "are") left out: \(named.joined(separator: ", "))\(more)", "")
    }
    if let (count, place) = withoutNamespace {
      reader.warn(
        place, "metadata.namespace",
        "\(count) \(count == 1 ? "policy names" : "policies name") no namespace: `default` is taken",
        "write the namespace")
    }
  }
}

extension ManifestCollector {
  /// Whether a file is none of policy by its name: those of Kustomize and Helm.
  func leavesOut(_ file: String, _ reader: inout DocumentReader) -> Bool {
    let name = (file.split(separator: "/").last.map(String.init) ?? file).lowercased()
    let place = SourceLocation(file: file, line: 1)
    switch name {
    case "kustomization.yaml", "kustomization.yml", "kustomization":
      reader.warn(
        place, "", "a file of Kustomize is not built here and is left out",
        "check the output of `kubectl kustomize` for what is applied")
      return true
    case "chart.yaml", "chart.yml":
      reader.fail(
        place, "", "this is a Helm chart, which is not rendered here", "give the output of `helm template`")
      return true
    default: return false
    }
  }
}

extension DocumentReader {
  /// What templates are made of, and whose they are.
  private static let marks = [("{{", "Helm or Jinja"), ("{%", "Jinja"), ("${", "envsubst or Terraform")]

  /// Says of a file with errors that it is a template, if an error is on a line of one; true if it is.
  mutating func nameTemplate(_ file: String, _ bytes: [UInt8]) -> Bool {
    guard !errors.isEmpty else { return false }
    let lines = SourceLines(bytes)
    let numbers = Set(errors.prefix(64).filter { $0.file == file }.flatMap { Array(max(1, $0.line - 3)...$0.line) })
    for number in numbers.sorted() where number > 0 {
      let text = lines.line(number)
      guard let (mark, tool) = Self.marks.first(where: { text.contains($0.0) }) else { continue }
      replaceErrors(
        of: file,
        by: PolicyError(
          SourceLocation(file: file, line: number), "", "the file is a template (\(mark) of \(tool)), not a policy",
          "render it first, for example with `helm template`, and give the output"))
      return true
    }
    return false
  }
}
