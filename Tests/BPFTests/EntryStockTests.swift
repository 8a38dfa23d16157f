// Is a write tried again while the kernel has no entry ready, and only then, and not for ever?
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import BPF

@Suite struct EntryStockTests {
  private let full = -Errno.noMemory.rawValue

  @Test("only a lack of memory is waited for")
  func others() {
    var stock = EntryStock()
    let again = [0, -E2BIG, full].map { stock.mayTryAgain(after: $0) }
    #expect(again == [false, false, true])
  }

  @Test("patience is for writes that make no progress")
  func patience() {
    var stock = EntryStock(patience: 700)
    var attempts = 0
    while stock.mayTryAgain(after: full) { attempts += 1 }
    // 50, 100, 200, 400 microseconds.
    #expect(attempts == 4)
    let hasMore = stock.mayTryAgain(after: full, madeProgress: true)
    #expect(hasMore)
  }

  @Test("thousands of new entries at once find their place", .requires(.root, .bpf))
  func many() throws {
    let isNotPreallocated: UInt32 = 1  // BPF_F_NO_PREALLOC
    let map = try PerCPUMap<UInt32, InlineArray<64, UInt64>>.create(
      .perCPUHash, name: "t_stock", maxEntries: 20_000, flags: isNotPreallocated)
    for key in 0..<UInt32(20_000) { try map.set(InlineArray<64, UInt64>(repeating: 1), for: key) }
    #expect(try map.entries().count == 20_000)
  }
}
