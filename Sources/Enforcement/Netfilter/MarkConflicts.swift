// Finds rules of others that use the bits of the packet mark which the mark view needs for itself.

/// The bits of the packet mark that are ours.
struct MarkConflicts: Sendable {
  let mask: UInt32

  /// The first rule that sets, saves, restores or compares bits of ours; chains named `SP-…` are not others'.
  ///
  /// `saved` is what iptables-save prints of all tables. Rules of nft itself (`meta mark`) are not in it.
  func rule(in saved: String) -> String? {
    for line in saved.split(separator: "\n") where line.hasPrefix("-A ") && !line.hasPrefix("-A SP-") {
      if bits(of: line.split(separator: " ").map(String.init)) & mask != 0 { return String(line) }
    }
    return nil
  }

  /// Which bits of the packet mark a rule writes, or reads in a way that ours would disturb.
  private func bits(of words: [String]) -> UInt32 {
    var bits: UInt32 = 0
    var match = ""
    var target = ""
    for (index, word) in words.enumerated() {
      let next = index + 1 < words.count ? words[index + 1] : ""
      switch (word, target) {
      case ("-m", _): match = next
      case ("-j", _):
        target = next
        // Without masks these two copy the whole mark; HMARK and SET --map-mark write it whole.
        if target == "HMARK" { bits |= .max }
      case ("--mark", "") where match == "mark": bits |= Self.mask(of: next)
      case ("--set-mark", "MARK"), ("--tproxy-mark", "TPROXY"):
        bits |= Self.mask(of: next) | Self.value(of: next)
      case ("--set-xmark", "MARK"): bits |= Self.mask(of: next) | Self.value(of: next)
      case ("--or-mark", "MARK"), ("--xor-mark", "MARK"): bits |= Self.value(of: next)
      case ("--and-mark", "MARK"): bits |= ~Self.value(of: next)
      case ("--map-mark", "SET"): bits |= .max
      case ("--save-mark", "CONNMARK"), ("--restore-mark", "CONNMARK"):
        let place = words.firstIndex(of: "--nfmask") ?? words.firstIndex(of: "--mask")
        bits |= place.map { $0 + 1 < words.count ? Self.value(of: words[$0 + 1]) : .max } ?? .max
      default: break
      }
    }
    return bits
  }

  /// The part of `VALUE/MASK` behind the slash; all bits if there is none.
  private static func mask(of word: String) -> UInt32 {
    let parts = word.split(separator: "/")
    return parts.count == 2 ? value(of: String(parts[1])) : .max
  }

  /// The number before the slash; all bits if it cannot be read.
  private static func value(of word: String) -> UInt32 {
    let number = word.prefix { $0 != "/" }
    return number.hasPrefix("0x") ? UInt32(number.dropFirst(2), radix: 16) ?? .max : UInt32(number) ?? .max
  }
}
