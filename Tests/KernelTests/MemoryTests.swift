// Does a process give back what it no longer needs, and go on?
import Kernel
import Testing

@Suite struct MemoryTests {
  @Test("Instructions that do not run now are given back, and are there again when they run")
  func instructions() throws {
    let before = try ResidentMemory().file
    ProgramMemory.release()
    let after = try ResidentMemory().file
    // Other tests run meanwhile, and need some of them.
    #expect(after < before)
    #expect([3, 1, 2].sorted().map { String($0) }.joined(separator: ",") == "1,2,3")
  }

  @Test("A heap that is kept small still serves, and is given back")
  func heap() throws {
    Heap.keepSmall()
    let block = [UInt8](repeating: 7, count: 64 << 20)
    #expect(block.allSatisfy { $0 == 7 })
    Heap.trim()
    #expect(Heap.bytesInUse > 0)
  }
}
