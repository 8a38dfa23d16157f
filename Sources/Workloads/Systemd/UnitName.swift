// Names of systemd units: which are valid, what kind they are, where they nest.

/// The valid name of a unit that can run, such as `nginx.service` or `getty@tty1.service`.
///
/// What systemd.unit(5) allows: letters, digits and `:-_.\`, one `@` before an instance, a known type, at most 255 bytes.
/// A template (`getty@.service`) is no unit: nothing runs in it.
package struct UnitName: Sendable, Hashable, CustomStringConvertible {
  /// What a unit is; only kinds that have a cgroup.
  package enum Kind: String, Sendable, CaseIterable {
    /// Processes that systemd started.
    case service
    /// Processes that others started and gave to systemd.
    case scope
    /// Other units.
    case slice
    /// A socket that waits for a service; the helper processes of its own.
    case socket
    /// A mount point; its mount program.
    case mount
    /// A swap area; its swapon.
    case swap
  }

  /// The name as systemd writes it, escapes and all.
  package let text: String
  /// What its suffix says.
  package let kind: Kind

  /// Nil when no unit can have this name.
  package init?(_ text: String) {
    let bytes = text.utf8
    guard bytes.count <= 255, bytes.allSatisfy(Self.isAllowed), let dot = text.lastIndex(of: "."),
      let kind = Kind(rawValue: String(text[text.index(after: dot)...]))
    else { return nil }
    let stem = text[..<dot]
    let parts = stem.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count <= 2, let first = parts.first, !first.isEmpty, parts.last?.isEmpty == false else { return nil }
    if kind == .slice, stem != "-" {
      // The dashes of a slice are its place, so each must stand between two names.
      let levels = stem.split(separator: "-", omittingEmptySubsequences: false)
      guard parts.count == 1, !levels.contains(where: \.isEmpty) else { return nil }
    }
    self.text = text
    self.kind = kind
  }

  /// The name of the directory that systemd makes for a unit, read back.
  ///
  /// One `_` goes before names that cgroupfs might take for a file of its own (systemd's `cg_escape`).
  package init?(directory: some StringProtocol) {
    self.init(String(directory.hasPrefix("_") ? directory.dropFirst() : directory[...]))
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: ":-_.\\@".utf8.contains(byte)
    }
  }

  /// The name without its type.
  package var stem: Substring { text.dropLast(kind.rawValue.utf8.count + 1) }

  /// The part after `@`; nil if it is no instance of a template.
  package var instance: Substring? {
    stem.firstIndex(of: "@").map { stem[stem.index(after: $0)...] }
  }

  /// The template that it is an instance of, such as `getty@.service`.
  package var template: String? {
    stem.firstIndex(of: "@").map { "\(stem[...$0]).\(kind.rawValue)" }
  }

  /// The slice that a slice is in: `a.slice` for `a-b.slice`, nil for one at the top.
  package var parentSlice: String? {
    guard kind == .slice, let dash = stem.lastIndex(of: "-"), stem != "-" else { return nil }
    return "\(stem[..<dash]).slice"
  }

  /// Whether the name was counted or drawn at random, as those of sessions, containers, pods and `systemd-run`: each
  /// would be an identity of its own.
  package var isMachineMade: Bool {
    if kind == .scope, stem.hasPrefix("session-") { return true }
    // systemd-run: a count, a process, or random digits.
    let rest = stem.hasPrefix("run-") ? stem.dropFirst(4) : ""
    if let first = rest.first, "up".contains(first), rest.dropFirst().first?.isNumber == true { return true }
    if rest.first == "r", rest.utf8.count > 16, rest.dropFirst().allSatisfy(\.isHexDigit) { return true }
    guard kind == .scope || kind == .slice else { return false }
    // Ids of containers are hexadecimal; those of pods are UUIDs with `_` for `-`, after a word.
    return stem.split(separator: "-").contains { part in
      let tail = part.split(separator: "_").last ?? part
      return [part, tail].contains { $0.utf8.count >= 32 && $0.allSatisfy(\.isHexDigit) }
        || part.hasPrefix("pod") && part.dropFirst(3).count(where: \.isHexDigit) >= 32
    }
  }

  /// The name with `\x2d` and the like read back; for people only, since two names may read the same.
  package var decoded: String {
    var bytes: [UInt8] = []
    var rest = Substring(text)
    while let character = rest.popFirst() {
      let digits = rest.dropFirst().prefix(2)
      if character == "\\", rest.first == "x", digits.utf8.count == 2, let byte = UInt8(digits, radix: 16), byte >= 0x20
      {
        bytes.append(byte)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(contentsOf: character.utf8)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The name as systemd writes it.
  package var description: String { text }
}
