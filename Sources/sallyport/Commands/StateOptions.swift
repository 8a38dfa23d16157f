// Where the state directory is, and what a reader finds there.
internal import ArgumentParser
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// The option that names the agent among several.
struct StateOptions: ParsableArguments {
  @Option(help: "The state directory of the agent.")
  var state: String = "/run/sallyport"

  var directory: FilePath { FilePath(state) }
  var client: ControlClient { ControlClient(state: directory) }

  /// What was last put in force.
  ///
  /// - Throws: exit code 3 when no agent ever ran with this state directory, or enforcement was ended.
  func snapshot() throws -> Snapshot {
    let read: Snapshot?
    do {
      read = try Snapshot.read(from: StateDirectory(state).snapshot)
    } catch {
      throw Failure.denied(error)
    }
    guard let read else {
      throw Failure(
        "nothing is enforced with the state directory \(state)",
        remedy: "start an agent with `sallyport run`, or name its state directory with --state",
        status: .notEnforcing)
    }
    return read
  }

  /// What the kernel has of this agent's state; nil if it has none.
  ///
  /// - Throws: exit code 4 when the caller may not look: that is not the same as nothing.
  func inspection() throws -> PinnedInspection? {
    do throws(DatapathError) {
      return try PinnedInspection.read(state: StateDirectory(state))
    } catch {
      throw Failure.denied(error)
    }
  }

  /// What was last put in force, as far as it can be read: a file of no use is a warning, not a failure.
  func readable() -> (snapshot: Snapshot?, warning: String?) {
    do { return (try Snapshot.read(from: StateDirectory(state).snapshot), nil) } catch { return (nil, "\(error)") }
  }

  /// Refuses at once, with the exit code for it, who may not look into the state directory.
  func requireReadable() throws {
    do throws(KernelError) { _ = try directoryNames(state) } catch {
      guard error.denied != nil else { return }
      throw Failure.denied(error)
    }
  }

  /// What the agent last wrote about itself; nil if there never was one.
  func report() -> AgentReport? {
    guard let bytes = try? readRegularFile(directory.appending("agent.json").string, limit: 64 << 20) else {
      return nil
    }
    return try? Document.read(AgentReport.self, from: bytes)
  }

  /// Says on standard error when the agent is gone: what is shown is then what it left in force.
  func warnIfAgentIsGone() {
    guard (try? client.ask(ControlRequest(.status), within: 5)) == nil else { return }
    Terminal.warn("no agent is running; enforcement continues as it was left")
  }
}
