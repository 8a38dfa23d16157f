// Does the report of the verifier say what loads, at what cost, and why not, one program at a time?
import BPF
import Kernel
import TestSupport
import Testing

@Suite("Verification", .requires(.bpf))
struct VerificationTests {
  private func object() throws(BPFError) -> OpenObject {
    try BPFObject.open(bytes: decodeBase64(tinyObject), name: "tiny")
  }

  @Test("A program that loads is told with tag, size and what it cost the verifier")
  func accepted() throws {
    let open = try object()
    try open.setAutoload("t_refused", false)
    let verifications = try open.verify()
    #expect(verifications.map(\.program) == ["t_egress"])
    let program = try #require(try verifications.first?.outcome.get())
    #expect(program.tag.utf8.count == 16)
    // The source has 17 instructions; the one path through it is walked once, the branch at its end by both sides.
    #expect((10...40).contains(program.instructions), "\(program)")
    #expect((10...40).contains(program.verifiedInstructions), "\(program)")
  }

  @Test("The verifier's log and the program's information count the same", .requires(.verifiedInstructions))
  func same() throws {
    let first = try object()
    try first.setAutoload("t_refused", false)
    let verifications = try first.verify()
    let told = try #require(try verifications.first?.outcome.get())
    let second = try object()
    try second.setAutoload("t_refused", false)
    let held = try second.load().program(named: "t_egress")
    #expect(told.verifiedInstructions == Int(held.verifiedInstructions))
    #expect(told.instructions == Int(held.instructions))
    #expect(told.tag == held.tag)
  }

  @Test("One refusal does not hide another program, and says the verifier's reason in one line")
  func refused() throws {
    let verifications = try BPFObject.verify { () throws(BPFError) in try object() }
    #expect(verifications.map(\.program) == ["t_egress", "t_refused"])
    #expect(throws: Never.self) { _ = try verifications[0].outcome.get() }
    let error = #expect(throws: BPFError.self) { _ = try verifications[1].outcome.get() }
    #expect(error?.reason.contains("invalid mem access") == true, "\(error?.reason ?? "")")
    #expect(error?.reason.contains("\n") == false)
  }
}

extension MachineRequirement {
  /// The kernel says how many instructions of a program were verified: since 5.16.
  fileprivate static let verifiedInstructions = MachineRequirement("verified_insns (5.16)") {
    do throws(BPFError) {
      let program = try BPFProgram.load(
        .cgroupSKB, attach: .cgroupEgress, name: "probe", instructions: [.move(0, 1), .exit])
      return program.verifiedInstructions > 0 ? nil : "this kernel does not tell"
    } catch {
      return error.description
    }
  }
}
