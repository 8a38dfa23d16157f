// Are the pages true? The tutorial prints what it says, and every command of every page is one that the program has.
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

/// A command as `--experimental-dump-help` describes it.
private struct Described: Decodable {
  struct Argument: Decodable {
    struct Name: Decodable { var name: String }
    var kind: String
    var names: [Name]?
  }
  struct Root: Decodable { var command: Described }
  var commandName: String
  var subcommands: [Described]?
  var arguments: [Argument]?

  /// What is wrong with the words after a command's name; nil if it takes them.
  func complaint(about words: [String]) -> String? {
    let next = words.first.flatMap { word in subcommands?.first { $0.commandName == word } }
    if let next { return next.complaint(about: Array(words.dropFirst())) }
    if let word = words.first, let names = subcommands?.map(\.commandName), !word.hasPrefix("-"), word != "help" {
      return "\(commandName) has no subcommand \(word), but \(names)"
    }
    // Without the name of a subcommand the default one is meant, whichever that is.
    let known = (arguments ?? []) + (subcommands ?? []).flatMap { $0.arguments ?? [] }
    var index = 0
    while index < words.count, words[index] != "--" {
      defer { index += 1 }
      guard words[index].hasPrefix("-"), words[index].count > 1 else {
        if known.contains(where: { $0.kind == "positional" }) { continue }
        return "\(commandName) takes no \(words[index])"
      }
      let name = words[index].drop { $0 == "-" }.prefix { $0 != "=" }
      let option = known.first { $0.names?.contains { $0.name == name } == true }
      guard let option else { return "\(commandName) has no option \(words[index])" }
      if option.kind == "option", !words[index].contains("=") { index += 1 }
    }
    return nil
  }
}

@Suite("Pages") struct PageTests {
  private static let root: FilePath = {
    var root = FilePath(#filePath)
    for _ in 0..<3 { root.removeLastComponent() }
    return root
  }()

  /// The pages that show commands to be typed; the pages of mistakes show others.
  private static func pages() throws -> [FilePath] {
    let names = try FileManager.default.contentsOfDirectory(atPath: root.appending("docs").string)
    let pages = names.filter { $0.hasSuffix(".md") && !$0.hasPrefix("MISTAKES") }.sorted()
    return [root.appending("README.md")] + pages.map { root.appending("docs").appending($0) }
  }

  /// The commands of a page: lines of blocks that begin with the program's name, and what stands between backquotes.
  private static func commands(of text: String) -> [(line: Int, words: [String])] {
    var commands: [(Int, [String])] = []
    var inBlock = false
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line.hasPrefix("```") {
        inBlock.toggle()
        continue
      }
      let candidates = inBlock ? [line] : line.split(separator: "`", omittingEmptySubsequences: false)
      for (position, candidate) in candidates.enumerated() where inBlock || position % 2 == 1 {
        var words = words(of: candidate)
        while let first = words.first, ["#", "$", "sudo"].contains(first) { words.removeFirst() }
        // In a drawing a line goes on from the name.
        guard words.first == "sallyport", words.count > 1, words[1].allSatisfy(\.isASCII) else { continue }
        commands.append((number + 1, Array(words.dropFirst())))
      }
    }
    return commands
  }

  /// The words of a command up to what a shell would end it at, without brackets and dots that stand for more.
  private static func words(of text: Substring) -> [String] {
    var words: [String] = []
    var quote: Character?
    var word = ""
    for character in text + " " {
      if character == quote {
        quote = nil
      } else if quote == nil, character == "'" || character == "\"" {
        quote = character
      } else if quote == nil, character == " " {
        if ["|", "&&", "&", ";", ">", "2>", "<", "#"].contains(word), !words.isEmpty { return words }
        let plain = word.filter { !"[]…".contains($0) }
        if !plain.isEmpty, plain != "..." { words.append(plain) }
        word = ""
      } else {
        word.append(character)
      }
    }
    return words
  }

  @Test("Every command on a page is one that the program has", .requires(.product))
  func commandsExist() throws {
    let path = FilePath("/tmp/sallyport-pages-\(getpid())")
    defer { _ = unsafe unlink(path.string) }
    let file = try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    let child = try ChildProcess.start(
      FilePath(Product.sallyport), ["--experimental-dump-help"], output: file.raw)
    let status = try child.wait()
    try #require(status == 0)
    let described = try JSONDecoder().decode(Described.Root.self, from: Data(readKernelBytes(path))).command
    var seen = 0
    for page in try Self.pages() {
      for (line, words) in Self.commands(of: try readKernelFile(page)) {
        seen += 1
        let complaint = described.complaint(about: words)
        #expect(complaint == nil, "\(page.lastComponent?.string ?? ""):\(line): \(words): \(complaint ?? "")")
      }
    }
    #expect(seen > 100)
    for wrong in [["status", "--cover"], ["policy", "chek"], ["run", "now"], ["unit", "label", "a", "--strict"]] {
      #expect(described.complaint(about: wrong) != nil, "\(wrong)")
    }
  }

  @Test("Every message on the page of troubles is one that the sources have")
  func messagesExist() throws {
    let sources = Self.root.appending("Sources").string
    var text = ""
    for name in try FileManager.default.subpathsOfDirectory(atPath: sources) where name.hasSuffix(".swift") {
      text += try readKernelFile(FilePath("\(sources)/\(name)"))
    }
    // A literal that goes on in the next line, by a backslash or by +.
    let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
    text = lines.joined(separator: "\n").replacing("\\\n", with: "").replacing("\"\n+ \"", with: "")
    var seen = 0
    var inMessages = false
    for line in try readKernelFile(Self.root.appending("docs/TROUBLESHOOTING.md")).split(separator: "\n") {
      if line.hasPrefix("```") {
        inMessages = line == "```message"
      } else if inMessages {
        for part in line.split(separator: "…") {
          let words = part.drop { " ,;:".contains($0) }.reversed().drop { " ,;:".contains($0) }.reversed()
          seen += 1
          #expect(text.contains(String(words)), "\(line): \(String(words))")
        }
      }
    }
    #expect(seen > 40)
  }

  @Test(
    "The tutorial prints what it says",
    .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces, .product, .program("python3"), .program("curl")))
  func tutorial() throws {
    try withSandbox { sandbox in
      let outside = try sandbox.makeCgroup("outside")
      let host = try sandbox.makeCgroup("host")
      let location = try #require(host.hierarchy.location(of: host.path)).string
      let path = FilePath("/tmp/sallyport-tutorial-\(outside.id)")
      defer { _ = unsafe unlink(path.string) }
      let output = try OwnedDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
      let child = try sandbox.start(
        [
          "sh", "-c", "exec env \"TREE=$1\" \"SALLYPORT=$2\" \"$0\" 2>&1",
          Self.root.appending("scripts/lib/tutorial").string, location, Product.sallyport,
        ], cgroup: outside, output: output.raw)
      let status = try child.wait()
      let said = try readKernelFile(path)
      #expect(status == 0, "\(said)")
    }
  }
}
