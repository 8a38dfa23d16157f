// Is an attempt that never ends given up in its time, and does more time go to all of them?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Preflight

@Suite struct ProbeTests {
  /// Blocks its thread for so long; what it saw is noted as if it were of sockets.
  private func probe(_ milliseconds: UInt32, within limit: Duration) -> Probe {
    Probe("patience", within: limit) {
      $0.sockets = $1
    } _: {
      usleep(milliseconds * 1000)
      return nil
    }
  }

  /// On a thread of its own: no thread of Swift's pool waits.
  private func run(_ probe: Probe, within total: Duration) async throws -> (ProbeResults, Duration) {
    try await withCheckedThrowingContinuation { continuation in
      do throws(KernelError) {
        _ = try DedicatedThread.start("survey") {
          let begin = ContinuousClock.now
          continuation.resume(with: Result { (try Probe.run([probe], within: total), ContinuousClock.now - begin) })
        }
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }

  @Test func anAttemptIsGivenUpAtItsLimitAndAtTheTotal() async throws {
    for (limit, total) in [(Duration.milliseconds(50), Duration.seconds(10)), (.seconds(10), .milliseconds(50))] {
      let (results, took) = try await run(probe(4000, within: limit), within: total)
      #expect(took < .seconds(3))
      #expect(results.sockets.obstacle == "patience: no answer within 0.05 seconds", "\(results.sockets)")
    }
  }

  @Test func moreTimeThanUsualIsSharedOut() async throws {
    let (results, _) = try await run(probe(1000, within: .milliseconds(500)), within: .seconds(60))
    #expect(results.sockets.obstacle == nil)
  }

  @Test func aFileThatHangsKeepsNoOtherCheckWaiting() async throws {
    let tree = try Tree(["/proc/meminfo": nil])
    let pipe = "\(tree.root)/proc/meminfo"
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    var settings = SurveySettings()
    settings.triesHere = false
    settings.limit = .seconds(5)
    let begin = ContinuousClock.now
    let survey = try await Command.survey(of: tree.host, settings)
    #expect(ContinuousClock.now - begin < .seconds(8))
    #expect(survey.rows.count == Check.all.count)
    let finding = try #require(survey.rows.first { $0.check.name == "host.memory" }).finding
    #expect(finding.outcome == .unknown && finding.found.contains("did not answer within"), "\(finding)")
    for name in ["host.cpus", "host.distribution", "host.limits", "capability.bpf", "cluster.cni"] {
      let finding = try #require(survey.rows.first { $0.check.name == name }).finding
      #expect(!finding.found.contains("did not answer within"), "\(name)")
    }
    // Lets the thread that waits for a writer go.
    close(unsafe open(pipe, O_RDWR | O_NONBLOCK))
  }

  @Test func whatThrowsSaysWhy() async throws {
    let failing = Probe("fails", within: .seconds(1)) {
      $0.sockets = $1
    } _: { () throws -> SocketRefusal? in
      throw KernelError("make", "socket", .permissionDenied)
    }
    let (results, _) = try await run(failing, within: .seconds(10))
    #expect(results.sockets.obstacle == "make socket: Permission denied")
  }
}
