// Finds the files that make up a unit, as systemd does, and reads the agent's section of them.
internal import Glibc
internal import Kernel
internal import SystemPackage

/// The directories of unit files, in the order of systemd.unit(5): what comes first hides what comes later.
package struct UnitFiles: Sendable, Equatable {
  /// Absolute paths; those that are not there are skipped.
  package let directories: [String]

  /// Where a host's own and its packages' units are.
  package static let standard = UnitFiles(directories: [
    "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
    "/lib/systemd/system",
  ])

  /// The same below the root directory of an image.
  package func within(_ root: String) -> UnitFiles {
    let prefix = root == "/" ? "" : root.hasSuffix("/") ? String(root.dropLast()) : root
    return UnitFiles(directories: directories.map { prefix + $0 })
  }

  /// Takes directories in order.
  package init(directories: [String]) { self.directories = directories }

  /// The merged section of a unit; nil if none of its files has it.
  ///
  /// The unit's file (for an instance, else its template's) is read first, then the drop-ins of `UNIT.d`, of the
  /// template, of every prefix (`foo-.service.d`) and of the type (`service.d`), by file name wherever they are. Of two
  /// with one name that from the first directory counts; a link to /dev/null is an empty file.
  ///
  /// - Throws: when a file with the section can be written to by others than root, or is wrong: a unit that is half
  ///   understood could be enforced less than its writer meant.
  package func settings(of unit: UnitName) throws(UnitSettingsError) -> UnitSettings? {
    var settings = UnitSettings()
    var isMentioned = false
    for path in files(of: unit) {
      guard let text = try read(path) else { continue }
      isMentioned = true
      try settings.read(text, file: path)
    }
    return isMentioned ? settings : nil
  }

  /// The paths of a unit's files, in the order in which they apply.
  func files(of unit: UnitName) -> [String] {
    let main = [unit.text] + [unit.template].compactMap { $0 }
    var paths: [String] = []
    search: for name in main {
      for directory in directories where isThere("\(directory)/\(name)") {
        paths.append("\(directory)/\(name)")
        break search
      }
    }
    var dropIns: [String: String] = [:]
    for folder in Self.dropInDirectories(of: unit) {
      for directory in directories {
        let path = "\(directory)/\(folder)"
        guard let names = try? directoryNames(path) else { continue }
        for name in names where name.hasSuffix(".conf") && !name.hasPrefix(".") && dropIns[name] == nil {
          dropIns[name] = "\(path)/\(name)"
        }
      }
    }
    let order = dropIns.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    return paths + order.compactMap { dropIns[$0] }
  }

  /// The names of the drop-in directories, the most specific first.
  static func dropInDirectories(of unit: UnitName) -> [String] {
    let suffix = ".\(unit.kind.rawValue)"
    var names = [unit.text] + [unit.template].compactMap { $0 }
    // foo-bar-baz.service: foo-bar-.service, foo-.service; an instance keeps its instance, and its template comes after.
    let tail = unit.instance.map { "@\($0)" } ?? ""
    var prefix = unit.stem.prefix { $0 != "@" }
    while let dash = prefix.lastIndex(of: "-"), prefix.count > 1 {
      prefix = prefix[..<dash]
      guard !prefix.isEmpty else { break }
      names.append("\(prefix)-\(tail)\(suffix)")
      if !tail.isEmpty { names.append("\(prefix)-@\(suffix)") }
    }
    return names.map { "\($0).d" } + ["\(unit.kind.rawValue).d"]
  }

  /// The paths of the files that have the section, in the order in which they apply.
  package func sources(of unit: UnitName) throws(UnitSettingsError) -> [String] {
    var sources: [String] = []
    for path in files(of: unit) where try read(path) != nil { sources.append(path) }
    return sources
  }

  /// The text of a file that has the section; nil when it has not, or is not there any more.
  private func read(_ path: String) throws(UnitSettingsError) -> String? {
    // A masked unit, or drop-in, is a link to /dev/null: it says nothing.
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    let text: String
    do {
      text = String(decoding: try readRegularFile(path, limit: 1 << 20), as: UTF8.self)
    } catch {
      guard error.errno != .noSuchFileOrDirectory else { return nil }
      throw UnitSettingsError(file: path, line: 0, problem: "cannot be read: \(error)", remedy: "repair it")
    }
    guard UnitSettings.isMentioned(in: text) else { return nil }
    if let writable = TrustedFile.writable(path) {
      throw UnitSettingsError(
        file: path, line: 0, problem: "others than root can write to \(writable): its labels are not trusted",
        remedy: "chown root \(writable) && chmod go-w \(writable)")
    }
    return text
  }
}
