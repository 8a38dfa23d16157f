// What people write wrong, and what they are told: docs/MISTAKES.md is made of it.

import Glibc
import Kernel
import SystemPackage
import Testing

@testable import Policy

/// A document with a mistake.
struct Mistake: Sendable, CustomTestStringConvertible {
  let title: String
  /// What was said of it once, by version 0.1.0.
  let before: [String]
  let document: String
  var testDescription: String { title }

  /// What is said of it now: errors, else warnings, else that it is accepted.
  var now: [String] {
    do {
      let parsed = try PolicyParser.parse(files: [("p.yaml", Array(document.utf8))])
      let warnings = (parsed.warnings + PolicyReview.warnings(of: parsed.policy)).map { "warning: \($0)" }
      return ["accepted"] + warnings
    } catch {
      return error.warnings.map { "warning: \($0)" } + error.errors.map(\.description)
    }
  }

  /// All of them, in the order of the page.
  static let all: [Mistake] = {
    let text = (try? read("Tests/PolicyTests/Fixtures/mistakes.txt")) ?? ""
    var found: [Mistake] = []
    for part in "\n\(text)".components(separatedBy: "\n@@ ").dropFirst() {
      let lines = part.split(separator: "\n", omittingEmptySubsequences: false)
      let before = lines.dropFirst().prefix { $0.hasPrefix("@< ") }.map { String($0.dropFirst(3)) }
      let document = lines.dropFirst(before.count + 1).joined(separator: "\n")
        .replacing("\\r", with: "\r").replacing("\\t", with: "\t").replacing("\\ufeff", with: "\u{feff}")
      found.append(Mistake(title: String(lines[0]), before: before, document: document))
    }
    return found
  }()

  /// A file of this project.
  static func read(_ path: String) throws -> String { try readKernelFile(root.appending(path)) }

  static let root: FilePath = {
    var root = FilePath(#filePath)
    for _ in 0..<3 { root.removeLastComponent() }
    return root
  }()
}

extension String {
  fileprivate func components(separatedBy mark: String) -> [String] {
    var parts: [String] = []
    var rest = Substring(self)
    while let range = rest.firstRange(of: mark) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}

@Suite struct MistakesTests {
  private static let page = "docs/MISTAKES.md"

  private static var text: String {
    var out = """
      # Mistakes, and what is said of them

      \(Mistake.all.count) documents with a mistake, what version 0.1.0 said of each, and what is said now. The page is made of
      `Tests/PolicyTests/Fixtures/mistakes.txt` and of the messages themselves, and a test keeps it true:
      `WRITE_PAGES=1 swift test --filter MistakesTests` writes it anew.

      """
    for mistake in Mistake.all {
      let shown = mistake.document.replacing("\r", with: "␍").replacing("\t", with: "→").replacing(
        "\u{feff}", with: "(BOM)")
      var body = shown
      while body.last == "\n" { body.removeLast() }
      out += "\n## \(mistake.title)\n```yaml\n\(body)\n```\n```text\n"
      out += mistake.before.map { "was: \($0)\n" }.joined() + mistake.now.map { "now: \($0)\n" }.joined() + "```\n"
    }
    return out
  }

  @Test("the page says what is said")
  func page() throws {
    #expect(Mistake.all.count >= 84)
    if let flag = unsafe getenv("WRITE_PAGES"), unsafe String(cString: flag) == "1" {
      let file = unsafe fopen(Mistake.root.appending(Self.page).string, "w")
      unsafe fputs(Self.text, file)
      unsafe fclose(file)
    }
    let written = try Mistake.read(Self.page)
    #expect(written == Self.text, "write it anew: WRITE_PAGES=1 swift test --filter MistakesTests")
  }

  @Test("a word that refuses never leads to one that allows, nor the other way round, nor does observing to enforcing")
  func opposites() throws {
    let groups = [
      (["deny", "drop", "block", "refuse", "DENY", "forbid", "blacklist"], "reject", "allow"),
      (["permit", "accept", "Allow", "ALLOWED", "whitelist"], "allow", "reject"),
    ]
    for (words, meant, opposite) in groups {
      for word in words {
        let told = errors(document("Defaults", "{incoming: \(word)}"))
        #expect(told.count == 1 && told[0].hasSuffix("write `\(meant)`"), "\(told)")
        #expect(told.first?.contains("`\(opposite)`") == false, "\(told)")
      }
    }
    for word in ["audit", "monitor", "dry-run", "permissive", "Observe", "log"] {
      let rule = "{subject: a, incoming: [{action: allow, peers: any, ports: any, mode: \(word)}]}"
      let told = errors(document("NetworkRuleSet", rule))
      #expect(told.count == 1 && told[0].contains("`observe`") && !told[0].contains("`enforce`"), "\(told)")
    }
    // What may mean either is not guessed at.
    for word in ["pass", "maybe", "a", "al", "rejectt-not", "defer"] {
      let told = errors(document("Defaults", "{incoming: \(word)}"))
      #expect(told.count == 1 && told[0].hasSuffix("write `allow` or `reject`"), "\(told)")
    }
    // No word is in two groups of values, or which one is meant would be a matter of their order.
    let all = Spelling.values.flatMap { $0 }
    #expect(Set(all).count == all.count)
  }

  @Test("words of other products lead to the field that is meant")
  func fields() {
    for (word, meant) in [
      ("ingress", "incoming"), ("egress", "outgoing"), ("inbound", "incoming"), ("podSelector", "subject"),
    ] {
      let told = errors(document("NetworkRuleSet", "{\(word == "podSelector" ? "" : "subject: a, ")\(word): }"))
      #expect(told.first?.contains("there is no such field; did you mean `\(meant)`?") == true, "\(told)")
    }
    for word in ["from", "to", "source", "destination"] {
      let rule = "{subject: a, incoming: [{action: allow, \(word): any, ports: any}]}"
      #expect(errors(document("NetworkRuleSet", rule)).map { $0.hasSuffix("did you mean `peers`?") } == [true])
    }
  }

  @Test(
    "YAML that messages tell people to write is accepted where it is shown", arguments: Template.all.map(\.document))
  func templates(_ text: String) throws {
    #expect(throws: Never.self) { try parse(text) }
  }

  @Test("no message quotes YAML that is accepted nowhere")
  func quoted() {
    var seen = 0
    for mistake in Mistake.all {
      for line in mistake.now {
        for lead in ["write it like ", "write ", "expected something like "] {
          guard let range = line.firstRange(of: "; \(lead)") else { continue }
          let rest = line[range.upperBound...]
          guard let first = rest.first, "{[".contains(first) else { continue }
          let piece = String(rest.prefix { $0 != ";" })
          let pieces = [piece] + piece.components(separatedBy: " or ")
          let isAccepted = pieces.contains { piece in
            Template.all.contains { errors($0.context.replacing("@", with: piece, maxReplacements: 1)).isEmpty }
          }
          #expect(isAccepted, "\(line)")
          seen += 1
          break
        }
      }
    }
    #expect(seen >= 8)
  }
}
