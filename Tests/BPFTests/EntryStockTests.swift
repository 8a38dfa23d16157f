// Is a write tried again while the kernel has no entry ready, and only then, and not for ever?
import Glibc
import SystemPackage
import Testing

@testable import BPF

@Suite struct EntryStockTests {
  private let full = -Errno.noMemory.rawValue

  @Test("only a lack of memory is waited for")
  func others() {
    var stock = EntryStock()
    #expect(!stock.mayTryAgain(after: 0))
    #expect(!stock.mayTryAgain(after: -E2BIG))
    #expect(stock.mayTryAgain(after: full))
  }

  @Test("patience is for writes that make no progress")
  func patience() {
    var stock = EntryStock(patience: 700)
    var attempts = 0
    while stock.mayTryAgain(after: full) { attempts += 1 }
    // 50, 100, 200, 400 microseconds.
    #expect(attempts == 4)
    #expect(stock.mayTryAgain(after: full, madeProgress: true))
  }

  @Test("thousands of new entries at once find their place", .requires(.root, .bpf))
  func many() throws {
    let map = try PerCPUMap<UInt32, InlineArray<64, UInt64>>.create(
      .perCPUHash, name: "t_stock", maxEntries: 20_000, flags: UInt32(BPF_F_NO_PREALLOC))
    for key in 0..<UInt32(20_000) { try map.set(InlineArray(repeating: 1), for: key) }
    #expect(try map.entries().count == 20_000)
  }
}
