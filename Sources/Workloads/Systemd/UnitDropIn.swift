// The drop-in that gives a unit its labels: how it is written, where it lies.
package import Kernel
internal import Policy
internal import SystemPackage

/// A file `UNIT.d/50-sallyport.conf` below the host's own directory of unit files.
package struct UnitDropIn: Sendable {
  /// What it says; its labels replace those that the drop-in had before.
  package var settings: UnitSettings
  /// What a service runs before its own commands, so that its labels are in force before its first packet.
  ///
  /// A command as in `ExecStartPre=`; empty for nothing.
  package var firstCommand: String

  package init(_ settings: UnitSettings, firstCommand: String = "") {
    self.settings = settings
    self.firstCommand = firstCommand
  }

  /// Where the drop-in of a unit lies, below the root directory of this host or of an image.
  package static func path(of unit: UnitName, root: String = "/") -> String {
    (root == "/" ? "" : root) + "/etc/systemd/system/\(unit.text).d/50-sallyport.conf"
  }

  /// The file's text, which `UnitSettings.read` reads back.
  ///
  /// - Throws: for a value with both kinds of quotes, which this syntax cannot hold.
  package func text() throws(UnitSettingsError) -> String {
    var words: [String] = []
    for label in settings.labels.labels {
      let word = "\(label.key)=\(label.value)"
      let quote = label.value.contains("\"") ? "'" : "\""
      guard !label.value.contains(quote) else {
        throw UnitSettingsError(
          file: "drop-in", line: 0, problem: "the value of label \(label.key) holds both kinds of quotes",
          remedy: "leave one of them out")
      }
      let isPlain = label.value.utf8.allSatisfy { byte in
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "-_.:/@".utf8.contains(byte)
        }
      }
      words.append(isPlain ? word : quote + word + quote)
    }
    var lines = ["# Written by `sallyport unit label`; the agent reads it, systemd ignores the section."]
    // Labels of other files do not add to these.
    lines += ["[\(UnitSettings.section)]", "Labels=", "Labels=\(words.joined(separator: " "))"]
    if settings.observe { lines.append("Mode=observe") }
    if settings.rejectsUnlabelledChildren { lines.append("Children=reject-until-labelled") }
    if !firstCommand.isEmpty { lines += ["", "[Service]", "ExecStartPre=\(firstCommand)"] }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Writes it in one step, readable by everybody; returns its path.
  @discardableResult
  package func write(for unit: UnitName, root: String = "/") throws -> String {
    let path = Self.path(of: unit, root: root)
    let text = try text()
    let directory = FilePath(path).removingLastComponent()
    var made = FilePath(root)
    for component in directory.components.dropFirst(made.components.count) {
      made.append(component)
      try makeDirectory(made.string, mode: 0o755, mayExist: true)
    }
    try replaceFile(FilePath(path), with: Array(text.utf8), mode: 0o644)
    return path
  }

  /// Removes it, and its directory if nothing else is in it; false if there was none.
  package static func remove(for unit: UnitName, root: String = "/") throws(KernelError) -> Bool {
    let path = path(of: unit, root: root)
    guard isThere(path) else { return false }
    try removeFile(path)
    // Another drop-in keeps it.
    try? removeDirectory(FilePath(path).removingLastComponent().string)
    return true
  }
}
