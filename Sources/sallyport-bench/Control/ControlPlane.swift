// The parts of a run that are not about packets: each is a command of its own too, with more to say.

internal import ArgumentParser
internal import Benchmark
internal import Kernel

/// A command whose figures belong to a whole run.
protocol ControlMeasurement: AsyncParsableCommand {
  /// Measures.
  func report() async throws -> Report
}

extension ControlMeasurement {
  /// With these arguments.
  fileprivate static func measurement(_ arguments: [String]) throws -> any ControlMeasurement { try parse(arguments) }
}

/// Runs them one after the other.
struct ControlPlane {
  let isQuick: Bool
  /// The agent; nil = the one beside this program.
  let agent: String?

  private var measurements: [(type: any ControlMeasurement.Type, arguments: [String])] {
    var agentArguments: [String] = []
    if let agent = agent ?? (try? SystemProgram.beside("sallyport", remedy: "")) {
      agentArguments = ["--agent", agent]
    }
    return [
      (PublishCommand.self, ["--rounds", isQuick ? "3" : "10"]),
      (ClusterCommand.self, isQuick ? ["--policies", "1000", "--pods", "5000", "--namespaces", "20"] : []),
      (WorkloadsCommand.self, ["--cgroups", isQuick ? "1000" : "10000", "--rounds", isQuick ? "2" : "10"]),
      (MemoryCommand.self, ["--starts", isQuick ? "2" : "5"] + agentArguments),
      (RevokeCommand.self, ["--rounds", isQuick ? "3" : "10"]), (RecordsCommand.self, []),
    ]
  }

  /// Adds what they found; what could not be measured is a note.
  func measure(into results: inout Results) async throws(Interrupted) {
    for (type, arguments) in measurements {
      let name = type.configuration.commandName ?? "\(type)"
      writeError("Control plane: \(name) …\n")
      try Interruption.check()
      do {
        results.quantities += try await type.measurement(arguments).report().quantities
      } catch let error as Interrupted { throw error } catch {
        results.notes.append("\(name) was not measured: \(error)")
      }
    }
  }
}
