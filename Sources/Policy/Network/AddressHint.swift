// What people mean by addresses that are not written as this policy has them.

enum AddressHint {
  /// What to write for text that is not an address (or a CIDR); nil = no better remedy.
  static func remedy(_ text: String, isPrefix: Bool) -> String? {
    func shown(_ address: IPAddress) -> String {
      isPrefix ? "\(address)/\(address.isIPv4 ? 32 : 128)" : "\(address)"
    }
    if text.hasPrefix("["), let end = text.firstIndex(of: "]"),
      let address = try? IPAddress(parsing: String(text[text.index(after: text.startIndex)..<end]))
    {
      let isBare = text.index(after: end) == text.endIndex
      return "write \(shown(address)), without brackets\(isBare ? "" : ": ports stand in the `ports` of rules")"
    }
    let halves = text.split(separator: ":", omittingEmptySubsequences: false)
    if halves.count == 2, let address = try? IPAddress(parsing: String(halves[0])), Int(halves[1]) != nil {
      return "write \(shown(address)): ports stand in the `ports` of rules"
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if isPrefix, parts.count == 2, let address = try? IPAddress(parsing: String(parts[0])),
      let mask = try? IPAddress(parsing: String(parts[1])), let bits = mask.ipv4
    {
      let length = bits.nonzeroBitCount
      let isMask = bits == (length == 0 ? 0 : UInt32.max << UInt32(32 - length))
      return isMask ? "write \(IPPrefix(masking: address, length: 96 + length))" : nil
    }
    let isName = text.contains(".") && text.utf8.allSatisfy { Label.isNameByte($0) || $0 == UInt8(ascii: "*") }
    let hasLetter = text.split(separator: ".").last?.utf8.contains { (97...122).contains($0 | 32) } ?? false
    if isName, hasLetter { return "names are not looked up here: write the addresses" }
    return nil
  }
}
