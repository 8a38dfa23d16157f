// Is JSON of engines and snapshots read right, and anything else refused without harm?
import Testing

@testable import Enforcement

@Suite struct JSONReaderTests {
  static func strings(_ text: String) throws(JSONFault) -> [String: String] {
    var reader = JSONReader(Array(text.utf8))
    return try reader.strings()
  }

  @Test("Strings are read with every escape, other members are skipped")
  func strings() throws {
    let read = try Self.strings(
      #" { "a" : "x\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00" , "n": -1.5e+3, "o": {"p":["q",null,true,false,{}]},"b":"" }"#)
    #expect(read == ["a": "x\"\\/\u{8}\u{c}\n\r\té😀", "b": ""])
    #expect(
      try Self.strings(#"{"half":"\ud83dx","other":"\ud83d\u0041"}"#) == ["half": "\u{FFFD}x", "other": "\u{FFFD}"])
    #expect(try Self.strings("{}") == [:])
    #expect(try Self.strings("null") == [:])
  }

  @Test("Of equal keys the last holds")
  func duplicates() throws {
    #expect(try Self.strings(#"{"a":"1","b":"2","a":"3"}"#) == ["a": "3", "b": "2"])
  }

  @Test(
    "What is no JSON is a fault with its place",
    arguments: [
      "", "{", #"{"a"#, #"{"a":"#, #"{"a":"b"#, #"{"a":"b","#, #"{"a" "b"}"#, #"{"a":"\x"}"#, #"{"a":"\u12g4"}"#,
      "<html>", #"{"a":tru}"#, #"{"a":"b" "c":"d"}"#, #"{1:2}"#, #"{"a":[1,}"#, "\u{0}\u{0}",
    ])
  func broken(_ text: String) {
    #expect(throws: JSONFault.self) { try Self.strings(text) }
  }

  @Test("Nesting is bounded")
  func deep() {
    let text = #"{"a":"# + String(repeating: "[", count: 100_000)
    #expect(throws: JSONFault.self) { try Self.strings(text) }
  }
}
