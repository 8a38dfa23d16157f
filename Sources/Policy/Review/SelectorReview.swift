// What is odd about a selector: it can be read, and can match nothing.

enum SelectorReview {
  private static let identities: Set<String> = ["host", "world", "unknown"]
  private static let reserved = [
    "sallyport.identity", "sallyport.network", "sallyport.unit", "sallyport.slice", "sallyport.user",
    "container.runtime", "container.image", "container.name", "k8s.namespace", "k8s.pod", "k8s.hostNetwork",
  ]

  /// Why a selector can match nothing, or something else than was meant, with remedies.
  static func problems(of selector: Selector) -> [(problem: String, remedy: String)] {
    var out: [(String, String)] = []
    for requirement in selector.requirements {
      out += problems(of: requirement)
      if contradicts(requirement, selector.requirements) {
        out.append(
          ("can match nothing: the requirements on \(requirement.key) exclude each other", "remove one of them"))
      }
    }
    var told: Set<String> = []
    return out.filter { told.insert($0.0).inserted }
  }

  private static func problems(of requirement: Requirement) -> [(String, String)] {
    var out: [(String, String)] = []
    let key = requirement.key
    if let remedy = DocumentReader.addressRemedy(key) {
      out.append(("\(key) is an address, and a selector asks for labels: it matches nothing", remedy))
    }
    if requirement.operator == .isIn || requirement.operator == .notIn {
      for value in requirement.values where value.contains("*") {
        out.append(("`*` is not a wildcard in selectors: \(value.shown) is the whole value", "ask for the key alone"))
      }
      if key == "sallyport.identity" {
        for value in requirement.values where !identities.contains(value) {
          let near = Spelling.nearest(to: value, in: identities.sorted())
          out.append(
            (
              "sallyport.identity is never \(value.shown)",
              near.map { "did you mean `\($0)`?" } ?? "write host, world or unknown"
            ))
        }
      }
      if key == "container.image", requirement.operator == .isIn {
        for value in requirement.values where !isImage(value) {
          out.append(
            ("no image has the name \(value.shown)", "write it as the container runtime shows it, like nginx:1.27"))
        }
      }
    }
    if Label.isReserved(key), !reserved.contains(key), !key.contains("/"), !key.hasPrefix("k8s.label.") {
      let near = Spelling.nearest(to: key, in: reserved)
      if let near { out.append(("no workload ever has the reserved key \(key)", "did you mean `\(near)`?")) }
    }
    return out
  }

  /// Whether text can be a reference to an image: lower case but for tag and digest, without blanks.
  private static func isImage(_ text: String) -> Bool {
    let name = text.split(separator: "@", omittingEmptySubsequences: false).first.map(String.init) ?? text
    let last = name.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    let path = name.dropLast(last.contains(":") ? last.split(separator: ":").last.map { $0.count + 1 } ?? 0 : 0)
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let isLower = parts.dropFirst(parts.count > 1 ? 1 : 0).allSatisfy { $0 == $0.lowercased() }
    return !text.isEmpty && isLower && parts.allSatisfy { !$0.isEmpty } && !text.contains(where: { " \t".contains($0) })
      && !text.contains("://")
  }

  private static func contradicts(_ one: Requirement, _ all: [Requirement]) -> Bool {
    all.contains { other in
      guard other.key == one.key, other != one else { return false }
      switch (one.operator, other.operator) {
      case (.isIn, .isIn): return Set(one.values).isDisjoint(with: other.values)
      case (.isIn, .notIn): return Set(one.values).isSubset(of: other.values)
      case (.isIn, .doesNotExist), (.exists, .doesNotExist): return true
      default: return false
      }
    }
  }
}
