// Are labels, identities and selectors exactly what their grammars say?

import Policy
import Testing

@Suite struct LabelTests {
  @Test(
    "keys follow kubectl's grammar",
    arguments: [
      "app", "a", "A.b_c-d", "example.com/name", "sallyport.unit", "a/b", String(repeating: "k", count: 63),
    ])
  func goodKeys(_ key: String) throws { _ = try Label(key, "v") }

  @Test(
    "other keys are refused",
    arguments: [
      "", "-a", "a-", "a b", "a/b/c", "/a", "a/", "Ex.com/a", "é", "a\u{0}", String(repeating: "k", count: 64),
      "a..b/c",
    ])
  func badKeys(_ key: String) { #expect(throws: LabelError.self) { try Label(key, "v") } }

  @Test("values are printable and at most 253 bytes")
  func values() throws {
    for value in ["", "a", "registry:5000/x@sha256:ab=", "ü", "a,b", String(repeating: "v", count: 253)] {
      #expect(try Label("a", value).value == value)
    }
    for value in ["\u{0}", "a\nb", "\u{202e}", "\u{7f}", "\u{9b}", String(repeating: "ü", count: 127)] {
      #expect(throws: LabelError.self) { try Label("a", value) }
    }
  }

  @Test("values that differ only in Unicode normalisation are different values")
  func normalisation() throws {
    let composed = try LabelSet([Label("a", "\u{e9}")])
    let decomposed = try LabelSet([Label("a", "e\u{301}")])
    #expect(composed != decomposed)
    #expect(composed.identity != decomposed.identity)
    #expect(try !Selector(parsing: "a=\u{e9}").matches(decomposed))
    #expect(try Selector(parsing: "a!=\u{e9}").matches(decomposed))
  }

  @Test(
    "label sets are read back from what they print",
    arguments: [
      "", "a=b", "a=b,c=d", "a=", "a=b=c", "a=\"x,y\"", "a=\"q\\\"\\\\\"", "a=\" b \"", "a=\u{301}x",
    ])
  func roundTrip(_ text: String) throws {
    let labels = try LabelSet(parsing: text)
    #expect(try LabelSet(parsing: labels.description) == labels)
  }

  @Test(
    "label sets that are none are refused", arguments: ["a", "a=b,", ",", "a=b,a=c", "a==b", "=b", "a=\"b", "a=\"b\"c"])
  func badSets(_ text: String) { #expect(throws: LabelError.self) { try LabelSet(parsing: text) } }

  @Test("an identity depends on the set, not on the order, and on nothing else")
  func identity() throws {
    #expect(try LabelSet(parsing: "b=2,a=1").identity == LabelSet(parsing: "a=1, b=2").identity)
    // Joined strings would collide here.
    #expect(try LabelSet(parsing: "a=b,c=d").identity != LabelSet([Label("a", "b,c=d")]).identity)
    #expect(try LabelSet(parsing: "ab=c").identity != LabelSet(parsing: "a=bc").identity)
    // SHA-256 of nothing, and of 00000003 'app' 00000003 'web', by an independent tool.
    #expect(LabelSet.empty.identity.description == "e3b0c44298fc1c14")
    #expect(try LabelSet(parsing: "app=web").identity.description == "02e637cf19714e9f")
  }

  @Test("unknown, host, world and the empty set are distinct everywhere")
  func reserved() {
    let sets: [LabelSet] = [.unknown, .host, .world, .empty]
    #expect(Set(sets).count == 4)
    #expect(Set(sets.map(\.identity)).count == 4)
    #expect(IdentityNumber.host.reservedLabels == .host)
    #expect(IdentityNumber.firstAllotted.reservedLabels == nil)
  }
}

@Suite struct SelectorTests {
  static let web = ["app": "web", "tier": "a", "empty": ""]

  /// kubectl's own cases, and ours.
  static let cases: [(String, Bool)] = [
    ("", true), ("app=web", true), ("app==web", true), ("app=db", false), ("app!=db", true), ("app!=web", false),
    ("zone!=x", true), ("app in (web,db)", true), ("app in ( db )", false), ("app notin (db)", true),
    ("app notin (web, db)", false), ("zone notin (x)", true), ("app", true), ("zone", false), ("!zone", true),
    ("!app", false), ("! zone", true), ("app=web,tier=a", true), ("app=web , tier=b", false), ("empty=", true),
    ("empty in ()", true), ("empty in (,x)", true), ("tier=", false), ("app=\"web\"", true),
    ("tier in (a),!zone,app", true), ("x= ", false), ("in=in", false), ("!in", true), ("notin in (in)", false),
  ]

  @Test("selectors match as in kubectl", arguments: cases)
  func matching(_ text: String, _ expected: Bool) throws {
    let labels = try LabelSet(SelectorTests.web.map { try Label($0, $1) })
    #expect(try Selector(parsing: text).matches(labels) == expected)
  }

  @Test(
    "what kubectl refuses is refused",
    arguments: [
      "app=web,", ",app", "a=b=c", "a==b==c", "!a=b", "a=b||c=d", "a<b", "a>1", "a in b", "a in (b", "a notin b)",
      "a b",
      "=a", "!", "a in (b) c", "a in (b c)", "-a", "a=\"b", "a !b",
    ])
  func refused(_ text: String) { #expect(throws: LabelError.self) { try Selector(parsing: text) } }

  @Test(
    "the canonical form is one, and is read back",
    arguments: [
      ("b,a", "a,b"), ("a in (x)", "a=x"), ("a notin (x)", "a!=x"), ("a in (y,x,y)", "a in (x,y)"), ("a=x,a=x", "a=x"),
      ("a=", "a="), ("a in (,x)", "a in (,x)"), ("a=\"x y\"", "a=\"x y\""), ("a=\"(\"", "a=\"(\""), ("", ""),
      ("!a", "!a"),
    ])
  func canonical(_ text: String, _ expected: String) throws {
    let selector = try Selector(parsing: text)
    #expect(selector.description == expected)
    #expect(try Selector(parsing: selector.description) == selector)
  }

  @Test("a selector error says where it stumbled")
  func message() {
    let error = #expect(throws: LabelError.self) { try Selector(parsing: "app=web,") }
    #expect(error?.description == "selector \"app=web,\" has the end where a key or `!` is expected")
  }
}
