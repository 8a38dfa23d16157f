// `sallyport identities`: what the numbers in the kernel's tables stand for.
internal import ArgumentParser
internal import Enforcement
internal import Evidence

struct IdentitiesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "identities", abstract: "List identities, their numbers in the kernel and their labels.")

  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  /// What is printed as a document.
  private struct Listing: Encodable {
    var identities: [Snapshot.NumberedIdentity]
    var externals: [Snapshot.NumberedNetworks]
  }

  func run() throws {
    let snapshot = try state.snapshot()
    state.warnIfAgentIsGone()
    try options.print(Listing(identities: snapshot.identities, externals: snapshot.externals)) {
      var table = Table(columns: [
        .init("NUMBER", rightAligned: true), .init("IDENTITY"), .init("LABELS", minimum: 20),
      ])
      for identity in snapshot.identities.sorted(by: { $0.number < $1.number }) {
        let labels = identity.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        table.add([String(identity.number), identity.identity, labels.joined(separator: ",")])
      }
      for external in snapshot.externals {
        table.add([String(external.number), "-", "networks: " + external.networks.joined(separator: ", ")])
      }
      return table.text(width: Terminal.width)
    }
  }
}
