// `sallyport version`.
internal import ArgumentParser

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() throws { Terminal.print("sallyport \(Version.text)") }
}
