// How addresses and prefixes are written: strict dotted quads and RFC 4291, printed as RFC 5952 says.

extension IPAddress {
  /// Reads `10.0.0.1`, `2001:db8::1` or `::ffff:10.0.0.1`, which is the same as `10.0.0.1`.
  ///
  /// Octets with leading zeros are refused, because some read them as octal; so are zones (`%eth0`).
  package init(parsing text: String) throws(AddressError) {
    let bytes = Array(text.utf8)
    if let number = IPAddress.parseIPv4(bytes[...]) {
      self.init(ipv4: number)
    } else if let groups = IPAddress.parseIPv6(bytes) {
      let words = stride(from: 0, to: 8, by: 4).map { start in
        groups[start..<start + 4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
      }
      self.init(high: words[0], low: words[1])
    } else {
      throw AddressError(
        text: text, problem: "is not an IP address",
        remedy: AddressHint.remedy(text, isPrefix: false) ?? "write it like 10.0.0.1 or 2001:db8::1")
    }
  }

  private static func parseIPv4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
    let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var number: UInt32 = 0
    for part in parts {
      guard let octet = decimal(part, digits: 3), octet <= 255 else { return nil }
      number = number << 8 | UInt32(octet)
    }
    return number
  }

  /// A decimal number without sign, space or leading zero.
  static func decimal(_ bytes: ArraySlice<UInt8>, digits: Int) -> Int? {
    guard let first = bytes.first, bytes.count <= digits, bytes.count == 1 || first != UInt8(ascii: "0") else {
      return nil
    }
    var number = 0
    for byte in bytes {
      guard (48...57).contains(byte) else { return nil }
      number = number * 10 + Int(byte - 48)
    }
    return number
  }

  private static func parseIPv6(_ bytes: [UInt8]) -> [UInt16]? {
    let colon = UInt8(ascii: ":")
    let gap = bytes.indices.dropLast().first { bytes[$0] == colon && bytes[$0 + 1] == colon }
    guard let gap else {
      let groups = groups(bytes[...])
      return groups?.count == 8 ? groups : nil
    }
    guard let head = groups(bytes[..<gap], mayEndInIPv4: false), let tail = groups(bytes[(gap + 2)...]) else {
      return nil
    }
    // `::` stands for at least one group.
    guard head.count + tail.count <= 7 else { return nil }
    return head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
  }

  private static func groups(_ bytes: ArraySlice<UInt8>, mayEndInIPv4: Bool = true) -> [UInt16]? {
    if bytes.isEmpty { return [] }
    let parts = bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    var out: [UInt16] = []
    for (index, part) in parts.enumerated() {
      if mayEndInIPv4, index == parts.count - 1, let number = parseIPv4(part) {
        out.append(UInt16(truncatingIfNeeded: number >> 16))
        out.append(UInt16(truncatingIfNeeded: number))
        continue
      }
      guard (1...4).contains(part.count) else { return nil }
      var group: UInt16 = 0
      for byte in part {
        guard let digit = hexadecimal(byte) else { return nil }
        group = group << 4 | digit
      }
      out.append(group)
    }
    return out
  }

  private static func hexadecimal(_ byte: UInt8) -> UInt16? {
    switch byte {
    case 48...57: UInt16(byte - 48)
    case 65...70: UInt16(byte - 55)
    case 97...102: UInt16(byte - 87)
    default: nil
    }
  }

  /// Dotted quad for IPv4, RFC 5952 for IPv6.
  package var description: String {
    if let number = ipv4 {
      return [24, 16, 8, 0].map { String(number >> UInt32($0) & 0xff) }.joined(separator: ".")
    }
    let groups = [high, low].flatMap { word in
      [48, 32, 16, 0].map { UInt16(truncatingIfNeeded: word >> UInt64($0)) }
    }
    // The first of the longest runs of at least two zero groups becomes `::`.
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > max(best.count, 1) { best = start..<end }
      start = end + 1
    }
    func join(_ part: ArraySlice<UInt16>) -> String {
      part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    return best.isEmpty ? join(groups[...]) : join(groups[..<best.lowerBound]) + "::" + join(groups[best.upperBound...])
  }
}

extension IPPrefix {
  /// Reads `10.0.0.0/8` or `2001:db8::/32`; bits after the prefix must be zero.
  package init(parsing text: String) throws(AddressError) {
    let example = "write it like 10.0.0.0/8 or 2001:db8::/32"
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, let address = try? IPAddress(parsing: String(first)), parts.count <= 2 else {
      throw AddressError(
        text: text, problem: "is not a CIDR", remedy: AddressHint.remedy(text, isPrefix: true) ?? example)
    }
    // What counts is how it was written: `::ffff:0:0/96` is in IPv6's terms, and the same as `0.0.0.0/0`.
    let dotted = !first.contains(":")
    let longest = dotted ? 32 : 128
    guard parts.count == 2 else {
      throw AddressError(
        text: text, problem: "has no prefix length", remedy: "write \(address)/\(longest) for one address")
    }
    guard let written = IPAddress.decimal(Array(parts[1].utf8)[...], digits: 3), written <= longest else {
      if let netmask = AddressHint.remedy(text, isPrefix: true) {
        throw AddressError(text: text, problem: "has a netmask in place of a prefix length", remedy: netmask)
      }
      throw AddressError(text: text, problem: "has a prefix length outside 0…\(longest)", remedy: example)
    }
    self.init(masking: address, length: dotted ? written + 96 : written)
    guard self.address == address else {
      throw AddressError(text: text, problem: "has bits set after the prefix", remedy: "write \(self)")
    }
  }
}
