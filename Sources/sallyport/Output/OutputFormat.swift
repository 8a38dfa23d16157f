// The choice between a table for people and a document for programs.
internal import ArgumentParser
internal import Evidence

/// How a noun prints what it knows.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument {
  case table, json, yaml
}

/// The option that every noun has.
struct OutputOptions: ParsableArguments {
  @Option(name: [.customShort("o"), .long], help: "How to print: table, json or yaml.")
  var output: OutputFormat = .table

  /// Prints a value as a document, or what `table` makes of it.
  func print(_ value: some Encodable, table: () -> String) throws {
    switch output {
    case .table: Terminal.write(table())
    case .json: Terminal.print(try Document.pretty(value))
    case .yaml: Terminal.write(try Document.yaml(value))
    }
  }
}
