// The product itself, run in whatever a test makes of its surroundings; what it says as a document.
import FoundationEssentials
import Glibc
import Kernel
import Preflight
import SystemPackage
import TestSupport
import Testing

/// What `sallyport preflight --output json` prints, as far as tests look at it.
struct Document: Decodable {
  struct Check: Decodable {
    var name: String
    var requirement: String
    var outcome: String
    var found: String
    var meaning: String
    var remedy: String
    var commands: [String]
    var fixes: [String]
    var details: [String]
  }
  var outcome: String
  var summary: String
  var datapath: String?
  var checks: [Check]

  subscript(_ name: String) -> Check {
    get throws { try #require(checks.first { $0.name == name }, "no check \(name)") }
  }
}

/// What a run came to.
struct Run {
  let said: CapturedProcess
  let document: Document
}

enum Command {
  /// Runs a program on a thread of its own: no thread of Swift's pool waits for it.
  static func output(_ words: [String], in namespace: NetworkNamespace? = nil) async throws -> CapturedProcess {
    let path = try #require(Sandbox.find(words[0]), "\(words[0]) is not installed")
    return try await withCheckedThrowingContinuation { continuation in
      do throws(KernelError) {
        _ = try DedicatedThread.start("command") {
          continuation.resume(
            with: Result {
              try CapturedProcess.run(path, Array(words.dropFirst()), namespace: namespace, within: .seconds(120))
            })
        }
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }

  /// Runs `sallyport preflight --output json` behind other words, such as `setpriv …`.
  static func preflight(
    _ arguments: [String] = [], behind words: [String] = [], in namespace: NetworkNamespace? = nil
  ) async throws -> Run {
    let said = try await output(
      words + [Product.sallyport, "preflight", "--output", "json"] + arguments, in: namespace)
    let document = try? JSONDecoder().decode(Document.self, from: Data(said.output.utf8))
    return Run(said: said, document: try #require(document, "\(said)"))
  }

  /// The same behind a shell script, whose last line is to be `exec "$@"`, in mount and pid namespaces of its own.
  static func preflight(
    _ arguments: [String] = [], after script: String, in namespace: NetworkNamespace? = nil
  ) async throws -> Run {
    try await preflight(arguments, behind: apart(script), in: namespace)
  }

  /// What this very process finds: the first row.
  static func survey(_ settings: SurveySettings) async throws -> Survey.Row {
    try #require(try await survey(of: .current(), settings).rows.first)
  }

  /// What is found of a host, on a thread of its own.
  static func survey(of host: HostView, _ settings: SurveySettings) async throws -> Survey {
    try await withCheckedThrowingContinuation { continuation in
      do throws(KernelError) {
        _ = try DedicatedThread.start("survey") {
          continuation.resume(with: Result { try Survey.of(host, settings) })
        }
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }

  /// The words before a program that has it run after a script, in mount and pid namespaces of its own.
  static func apart(_ script: String) -> [String] {
    ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "--propagation", "private"]
      + ["sh", "-c", "set -e\n\(script)\nexec \"$@\"", "sh"]
  }
}

extension MachineRequirement {
  /// Both versions of cgroups, so that the newer one can be hidden.
  static let bothVersions = MachineRequirement("cgroup v1 beside v2") {
    (try? CgroupLayout.current()) == .hybrid ? nil : "this host mounts one of them alone"
  }
}
