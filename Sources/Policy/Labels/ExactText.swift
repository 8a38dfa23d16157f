// Text that is equal only when its bytes are, and how text is shown without letting it act on a terminal.

/// A string compared by its UTF-8 bytes.
///
/// `String` compares by canonical equivalence: U+00E9 equals U+0065 U+0301. An identity is a hash over bytes, so
/// equality must be over bytes as well.
struct ExactText: Sendable, Hashable, Comparable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: ExactText, right: ExactText) -> Bool {
    // The first comparison is a memcmp for nearly all text; the second matters only for equivalent strings.
    left.text == right.text && left.text.utf8.elementsEqual(right.text.utf8)
  }

  // Equal bytes are canonically equivalent, so String's hash is consistent with the equality above.
  func hash(into hasher: inout Hasher) { hasher.combine(text) }

  static func < (left: ExactText, right: ExactText) -> Bool {
    left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
  }

  /// The text as the grammar of labels and selectors reads it back.
  var quotedIfNeeded: String {
    let plain = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "!"), UInt8(ascii: "("), UInt8(ascii: ")"),
        UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\""), UInt8(ascii: "\\"):
        false
      default: byte > 32
      }
    }
    return plain ? text : text.quoted
  }
}

extension String {
  /// The string in double quotes with everything escaped that is not printable.
  var quoted: String {
    var out = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"", "\\":
        out.unicodeScalars.append("\\")
        out.unicodeScalars.append(scalar)
      case _ where Label.isPrintable(scalar): out.unicodeScalars.append(scalar)
      default: out += "\\u{\(String(scalar.value, radix: 16))}"
      }
    }
    return out + "\""
  }

  /// The string in quotes as messages show it: cut where it is so long that it would hide the message.
  var shown: String {
    let kept = unicodeScalars.prefix(200)
    return kept.endIndex == unicodeScalars.endIndex ? quoted : String(kept).quoted + "…"
  }
}
