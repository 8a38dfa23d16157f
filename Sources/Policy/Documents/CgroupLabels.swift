// The file that gives cgroups their labels by path: a list, without rules.

/// Labels that an operator wrote down for one cgroup.
package struct CgroupLabels: Sendable, Hashable {
  /// The path below the root of the hierarchy, `/` first, without `.` and `..`.
  package let cgroup: String
  /// The labels; at least one, none reserved.
  package let labels: LabelSet
  /// Whether verdicts are applied or only observed.
  package let mode: Mode
  /// Whether traffic of cgroups below it that have no labels of their own is refused.
  package let rejectsUnlabelledChildren: Bool
  /// Where it was written.
  package let source: SourceLocation

  /// Reads a file.
  /// ```
  /// workloads:
  ///   - cgroup: /system.slice/nginx.service
  ///     labels: {app: web}
  ///     mode: observe                    # enforce if left out
  ///     children: reject-until-labelled  # inherit if left out
  /// ```
  ///
  /// - Throws: everything that is wrong with it, by line and field; nothing is half read.
  package static func parse(file: String, bytes: [UInt8]) throws(PolicyErrors) -> [CgroupLabels] {
    let yaml = YAMLReader.documents(file: file, bytes: bytes)
    var reader = DocumentReader()
    reader.add(yaml.errors)
    var found: [CgroupLabels] = []
    if let second = yaml.documents.dropFirst().first {
      reader.fail(second.location, "", "the file holds more than one document", "put all workloads in one list")
    }
    if let document = yaml.documents.first, let fields = reader.fields(document, "", known: ["workloads"]) {
      if let node = fields["workloads"] {
        let items = reader.list(node, "workloads", like: "{cgroup: /web, labels: {app: web}}") ?? []
        for (index, item) in items.enumerated() {
          if let entry = reader.cgroupLabels(item, "workloads[\(index)]") { found.append(entry) }
        }
      } else {
        reader.fail(document.location, "workloads", "is missing", "write `workloads: []` if there are none")
      }
    }
    var first: [String: SourceLocation] = [:]
    for entry in found {
      if let before = first[entry.cgroup] {
        reader.fail(
          entry.source, "cgroup", "\(entry.cgroup.shown) is already labelled at \(before)", "keep one of the entries")
      }
      first[entry.cgroup] = first[entry.cgroup] ?? entry.source
    }
    guard reader.errors.isEmpty else {
      let errors = reader.errors.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
      throw PolicyErrors(errors: errors, warnings: reader.warnings)
    }
    return found
  }
}

extension DocumentReader {
  /// Reads one entry; what cannot be read has an error.
  fileprivate mutating func cgroupLabels(_ node: DocumentNode, _ field: String) -> CgroupLabels? {
    let count = errors.count
    guard let fields = fields(node, field, known: ["cgroup", "labels", "mode", "children"]) else { return nil }
    var path = ""
    if let node = fields["cgroup"] {
      path = cgroupPath(node, "\(field).cgroup") ?? ""
    } else {
      fail(node.location, "\(field).cgroup", "is missing", "write it like /system.slice/web.service")
    }
    var found = LabelSet.empty
    if let node = fields["labels"] {
      let before = errors.count
      found = labels(node, "\(field).labels") ?? .empty
      if found.labels.isEmpty, errors.count == before {
        fail(node.location, "\(field).labels", "holds no label", "write it like \(Template.labels.text)")
      }
    } else {
      fail(node.location, "\(field).labels", "is missing", "write `labels: {app: web}`")
    }
    let mode = fields["mode"].map { self.mode($0, "\(field).mode") } ?? .enforce
    var rejects = false
    if let node = fields["children"] {
      rejects = choice(node, "\(field).children", [("inherit", false), ("reject-until-labelled", true)]) ?? true
    }
    guard errors.count == count else { return nil }
    return CgroupLabels(
      cgroup: path, labels: found, mode: mode, rejectsUnlabelledChildren: rejects, source: node.location)
  }

  /// A path as the kernel writes it; one that could mean two cgroups is refused.
  private mutating func cgroupPath(_ node: DocumentNode, _ field: String) -> String? {
    guard let path = text(node, field, like: "/system.slice/web.service") else { return nil }
    let components = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    let isPlain = components.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 }
    guard path.hasPrefix("/"), isPlain, path.utf8.count <= 4096 else {
      fail(
        node.location, field, "\(path.shown) is not the path of a cgroup below the root",
        "write the path as /proc/PID/cgroup shows it, like /system.slice/web.service")
      return nil
    }
    return path
  }
}
