// Does every error read `operation subject: reason; remedy`, the remedy once, whatever it wraps?
import BPF
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite struct ErrorShapeTests {
  struct Kind: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var error: any ExplainedError
    var text: String
  }

  private static let kernel = KernelError("open", "/a", .noSuchFileOrDirectory, remedy: "create it")
  private static let refused = BPFError(
    "load", "sp_x", .invalidArgument, verifierLog: "0: (95) exit\nR0 !read_ok\nprocessed 1 insns\n")
  private static let noFile = "No such file or directory"

  static let kinds = [
    Kind(testDescription: "kernel", error: kernel, text: "open /a: \(noFile); create it"),
    Kind(
      testDescription: "kernel, no remedy", error: KernelError("open", "/a", .ioError),
      text: "open /a: Input/output error"),
    Kind(testDescription: "BPF of kernel", error: BPFError(kernel), text: "open /a: \(noFile); create it"),
    Kind(
      testDescription: "BPF without the privilege", error: BPFError("load", "sp_x", .notPermitted),
      text: "load sp_x: Operation not permitted; run with CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN before kernel 5.8"
    ),
    Kind(testDescription: "BPF with a log", error: refused, text: "load sp_x: Invalid argument: R0 !read_ok"),
    Kind(
      testDescription: "datapath of kernel", error: DatapathError("adopt", "/b", underlying: kernel),
      text: "adopt /b: open /a: \(noFile); create it"),
    Kind(
      testDescription: "datapath with its own remedy",
      error: DatapathError("adopt", "/b", underlying: kernel, remedy: "detach"),
      text: "adopt /b: open /a: \(noFile); detach"),
    Kind(
      testDescription: "datapath that passes the remedy on",
      error: DatapathError("adopt", "/b", underlying: kernel, remedy: kernel.remedy),
      text: "adopt /b: open /a: \(noFile); create it"),
    Kind(
      testDescription: "datapath of datapath",
      error: DatapathError("start", "agent", underlying: DatapathError("adopt", "/b", underlying: kernel)),
      text: "start agent: adopt /b: open /a: \(noFile); create it"),
    Kind(
      testDescription: "datapath of BPF", error: DatapathError("load", "/b", underlying: refused),
      text: "load /b: load sp_x: Invalid argument: R0 !read_ok"),
  ]

  @Test("operation subject: reason; remedy", arguments: kinds)
  func shape(_ kind: Kind) {
    #expect("\(kind.error)" == kind.text)
    #expect(kind.error.problem == String(kind.text.prefix { $0 != ";" }))
  }

  @Test("A failed change that cannot be rolled back says both reasons, and one remedy")
  func rollback() async throws {
    var seen = 0
    for step in 0..<8 {
      let (enforcer, model) = try await enforcing()
      model.fail(step: step, afterRows: 1, forever: true)
      let next = document(port: 8443, from: "tier=edge")
      do { _ = try await enforcer.apply(policy: policy(next), sources: [next]) } catch {
        let text = "\(error)"
        guard text.contains("could not be rolled back") else { continue }
        seen += 1
        #expect(text.split(separator: "; ").count == 2 && !text.contains("("), "\(text)")
      }
    }
    #expect(seen > 0)
  }
}
