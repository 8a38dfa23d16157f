// Two runs side by side, and a run as a document.

internal import ArgumentParser
internal import Benchmark
internal import Glibc
internal import Kernel
internal import SystemPackage

struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Say whether two runs agree within the spreads they state, and which programs differ.",
    discussion: "Exit code 0: they agree. 1: they differ. Ratios of the same run are compared, not times.")

  @Argument(help: "What `run --out` wrote.") var first: String
  @Argument(help: "The same, of another run.") var second: String
  @Flag(help: "Also what is the same.") var all = false

  func run() throws {
    let comparison = Comparison(try Results(file: first), try Results(file: second))
    var text = comparison.tables(everything: all).map(\.shown).joined()
    for line in comparison.machine { text += "not the same machine: \(line)\n" }
    if !comparison.unmatched.isEmpty { text += "\(comparison.unmatched.count) quantities are in one run only\n" }
    if all { text += comparison.unmatched.map { "  \($0)\n" }.joined() }
    writeOutput(Array((text + comparison.verdict + "\n").utf8))
    if !comparison.agrees { throw ExitCode(1) }
  }
}

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Write a run as BENCHMARKS.md with plots.")

  @Argument(help: "What `run --out` wrote.") var results: String
  @Argument(help: "The folder to write to.") var folder: String

  func run() throws { try Self.write(try Results(file: results), to: folder) }

  /// Writes the document; pictures of a run before that have other names stay.
  static func write(_ results: Results, to folder: String) throws {
    for file in results.document() {
      let path = FilePath("\(folder)/\(file.path)")
      try makeDirectory(path.removingLastComponent().string, mode: 0o755, mayExist: true)
      try replaceFile(path, with: Array(file.contents.utf8), mode: 0o644)
    }
  }
}

extension Results {
  /// What `run --out` wrote.
  init(file: String) throws { try self.init(json: try readKernelBytes(FilePath(file)), file: file) }
}

/// Writes to standard output.
func writeOutput(_ bytes: [UInt8]) {
  var rest = bytes[...]
  while !rest.isEmpty {
    let count = unsafe rest.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
    guard count > 0 else { return }
    rest = rest.dropFirst(count)
  }
}
