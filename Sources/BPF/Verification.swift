// What the kernel's verifier says of each program of an object, and what the programs cost it.
internal import CLibbpf
internal import Kernel
internal import SystemPackage

/// What became of one program when this kernel was asked to take it.
package struct Verification: Sendable {
  /// The program's name in the object.
  package let program: String
  /// What the kernel holds, or why it refused.
  package let outcome: Result<Accepted, BPFError>

  /// A program that loads.
  package struct Accepted: Equatable, Sendable {
    /// A hash of the instructions, as 16 hexadecimal digits.
    package let tag: String
    /// How many instructions it has in the kernel, calls inlined and dead branches removed.
    package let instructions: Int
    /// How many instructions the verifier walked over, all paths together; its limit is 1,000,000.
    package let verifiedInstructions: Int
    /// Whether it runs as machine code and not in the interpreter.
    package let isCompiled: Bool
  }
}

extension BPFError {
  /// The errno in words and the verifier's (or libbpf's) own reason, in one line.
  package var reason: String {
    let lines = (verifierLog ?? "").split(separator: "\n").map(String.init)
    // The log ends with statistics, and libbpf's lines about it say only that there is a log.
    let telling = lines.last { line in
      !line.hasPrefix("processed ") && !line.hasPrefix("libbpf: ") && !line.hasPrefix("verification time ")
        && !line.hasPrefix("stack depth ")
    }
    let words = telling ?? lines.first { $0.hasPrefix("libbpf: ") }
    return words.map { "\(KernelError.describe(errno)): \($0)" } ?? KernelError.describe(errno)
  }
}

extension OpenObject {
  /// Loads the object and says what each program cost the verifier; nothing stays in the kernel.
  ///
  /// The count is of the verifier's own log: before kernel 5.16 the program's information has none.
  package consuming func verify() throws(BPFError) -> [Verification] {
    let names = programNames
    let size = 1 << 16
    // libbpf keeps the addresses until the object is closed, which `loaded` sees to before this function ends.
    let logs = UnsafeMutableRawBufferPointer.allocate(byteCount: names.count * size, alignment: 16)
    defer { unsafe logs.deallocate() }
    unsafe logs.initializeMemory(as: UInt8.self, repeating: 0)
    let statistics: UInt32 = 4  // BPF_LOG_STATS, which is not in the headers for programs
    for (index, name) in names.enumerated() {
      let program = try unsafe handle.program(name)
      let log = unsafe logs.baseAddress?.advanced(by: index * size).assumingMemoryBound(to: CChar.self)
      try checkBPF(unsafe bpf_program__set_log_buf(program, log, size), "set log", name)
      try checkBPF(unsafe bpf_program__set_log_level(program, statistics), "set log level", name)
    }
    func said(_ index: Int) -> String {
      let log = unsafe UnsafeRawBufferPointer(rebasing: logs[index * size..<(index + 1) * size])
      return unsafe String(decoding: log.prefix { $0 != 0 }, as: UTF8.self)
    }
    let loaded: LoadedObject
    do throws(BPFError) {
      loaded = try load()
    } catch {
      let spoken = names.indices.map(said).filter { !$0.isEmpty }.joined()
      throw BPFError(
        error.operation, error.subject, error.errno, verifierLog: (error.verifierLog ?? "") + spoken,
        remedy: error.remedy)
    }
    var verifications: [Verification] = []
    for (index, name) in names.enumerated() where loaded.isLoaded(name) {
      let program = try loaded.program(named: name)
      let accepted = Verification.Accepted(
        tag: program.tag, instructions: Int(program.instructions),
        verifiedInstructions: Self.processed(said(index)) ?? Int(program.verifiedInstructions),
        isCompiled: program.isCompiled)
      verifications.append(Verification(program: name, outcome: .success(accepted)))
    }
    return verifications
  }

  /// The number in "processed N insns", the verifier's last words.
  private static func processed(_ log: String) -> Int? {
    guard let line = log.split(separator: "\n").last(where: { $0.hasPrefix("processed ") }) else { return nil }
    return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }
  }
}

extension LoadedObject {
  /// Whether the program is in the kernel: one without autoload is not.
  fileprivate func isLoaded(_ name: String) -> Bool {
    guard let program = try? unsafe handle.program(name) else { return false }
    return unsafe bpf_program__fd(program) >= 0
  }
}

extension BPFObject {
  /// Asks this kernel about each program of an object; `open` parses and configures it, and is called again and again.
  ///
  /// All at once as an agent loads them; if that fails each one alone, so that one refusal does not hide another.
  package static func verify(_ open: () throws(BPFError) -> OpenObject) throws(BPFError) -> [Verification] {
    let names = try open().programNames
    do throws(BPFError) {
      return try open().verify()
    } catch {
      return try names.map { name throws(BPFError) in
        let object = try open()
        for other in names where other != name { try object.setAutoload(other, false) }
        do throws(BPFError) {
          return try object.verify().first ?? Verification(program: name, outcome: .failure(error))
        } catch {
          return Verification(program: name, outcome: .failure(error))
        }
      }
    }
  }
}
