// Text from outside as it may be shown on a terminal.

internal import JSON

extension String {
  /// This text with every character that could forge output written as `\u{…}`.
  package var shownSafely: String {
    guard unicodeScalars.contains(where: \.isUnsafeToShow) else { return self }
    var result = ""
    for scalar in unicodeScalars {
      if scalar.isUnsafeToShow {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
