// The few raw instructions that probes and tests are made of.

/// A BPF instruction as the kernel's 8 bytes, in host order: code, registers, offset, immediate.
package struct Instruction: RawRepresentable, BitwiseCopyable, Sendable {
  /// The 8 bytes.
  package let rawValue: UInt64

  /// Wraps the 8 bytes.
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  /// `code` with destination and source register, signed 16-bit offset and 32-bit immediate.
  package init(_ code: UInt8, target: UInt8 = 0, source: UInt8 = 0, offset: Int16 = 0, immediate: Int32 = 0) {
    let registers = UInt64(target & 15 | source << 4) << 8
    let jump = UInt64(UInt16(bitPattern: offset)) << 16
    rawValue = UInt64(code) | registers | jump | UInt64(UInt32(bitPattern: immediate)) << 32
  }

  /// `register = immediate`, all 64 bits.
  package static func move(_ register: UInt8, _ immediate: Int32) -> Instruction {
    Instruction(0xb7, target: register, immediate: immediate)
  }

  /// Calls a helper by number.
  package static func call(_ helper: UInt32) -> Instruction {
    Instruction(0x85, immediate: Int32(bitPattern: helper))
  }

  /// Ends the program with what is in register 0.
  package static let exit = Instruction(0x95)
}
