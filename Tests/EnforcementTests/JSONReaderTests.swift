// Is JSON of engines and snapshots read right, and anything else refused without harm?
import JSON
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

  @Test("A leap ends where the object ends, whatever its strings hold")
  func leap() throws {
    let objects = [#"{"a":"}{","b":"\"","c":["]",{"d":"\\"}]}"#, "{}", #"{"number":7}"#, #" {"x":{"y":[[]]}}"#]
    var reader = JSONReader(Array("[\(objects.joined(separator: ","))]".utf8))
    let bytes = Array("[\(objects.joined(separator: ","))]".utf8)
    var found: [String] = []
    try reader.array { (reader) throws(JSONFault) in
      found.append(String(decoding: bytes[try reader.leap()], as: UTF8.self))
    }
    try reader.end()
    #expect(found == objects.map { String($0.trimmingPrefix(" ")) })
  }

  @Test(
    "A leap over what is no object, or does not end, is a fault",
    arguments: ["[]", "1", "", "{", #"{"a"#, #"{"a\"#, "{[}"])
  func badLeap(_ text: String) {
    var reader = JSONReader(Array(text.utf8))
    #expect(throws: JSONFault.self) { try reader.leap() }
  }

  @Test(
    "The number of an identity is told by its end, or not at all",
    arguments: [
      (#"{"identity":"ab","labels":{"a":"b"},"number":17}"#, 17), (#"{"a":{},"number":4294967295}"#, 4_294_967_295),
      (#"{"a":{},"number":4294967296}"#, nil), (#"{"a":1,"number":99999999999999999999}"#, nil),
      (#"{"number":17}"#, nil), (#"{"number":17,"labels":{}}"#, nil), (#"{"labels":{"a":"b","number":5}}"#, nil),
      (#"{"a":1,"number":}"#, nil), (#"{"a":"\"number\":5"}"#, nil), (#"{"a\",\"number":5}"#, nil), ("{}", nil),
      ("{5}", nil),
    ] as [(String, UInt32?)])
  func lastNumber(_ text: String, _ expected: UInt32?) {
    let bytes = Array(text.utf8)
    #expect(UnreadNames(bytes).number(of: 0..<bytes.count) == expected)
  }
}
