// Which units there are, so that a misspelt one is not labelled.
import Kernel
internal import Policy

/// A unit of which no file is there.
package struct MissingUnit: ExplainedError, Equatable {
  /// The unit.
  package let unit: String
  /// The known name that was probably meant.
  package let nearest: String?

  /// What is missing.
  package var problem: String { "unit \(unit): not found in the directories of unit files" }
  /// What to write instead.
  package var remedy: String? {
    nearest.map { "did you mean \($0)?" } ?? "check the name; for a unit that is installed later add --not-installed"
  }
  /// Never.
  package var denied: String? { nil }
}

extension UnitFiles {
  /// Units that systemd or its generators make, besides those in files.
  private static let generated = [
    "/run/systemd/transient", "/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late",
  ]

  /// Refuses a service, socket, mount or swap of which there is no file; slices and scopes need none.
  package func require(_ unit: UnitName) throws(MissingUnit) {
    guard unit.kind != .slice, unit.kind != .scope else { return }
    let root = directories.first.map { $0.hasSuffix("/etc/systemd/system") ? String($0.dropLast(19)) : "" } ?? ""
    let places = directories + Self.generated.map { root + $0 }
    let wanted = [unit.text] + [unit.template].compactMap { $0 }
    if places.contains(where: { place in wanted.contains { isThere("\(place)/\($0)") } }) { return }
    // A host without systemd has no directory of units either: nothing can be said.
    guard places.contains(where: { isThere($0) }) else { return }
    var known: Set<String> = []
    for place in places {
      for name in (try? directoryNames(place)) ?? [] where name.hasSuffix(".\(unit.kind.rawValue)") {
        known.insert(name)
      }
    }
    throw MissingUnit(unit: unit.text, nearest: Spelling.nearest(to: unit.text, in: known.sorted()))
  }
}
