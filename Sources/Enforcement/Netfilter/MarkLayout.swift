// Which bits of the packet mark tell the source workload, and which the network namespace.

/// How our bits of the packet mark are divided, in the mark view.
struct MarkLayout: Equatable, Sendable {
  /// The number of the source workload: index of sp_marks.
  let sources: UInt32
  /// The number of the network namespace.
  let namespaces: UInt32

  init(sources: UInt32, namespaces: UInt32) {
    self.sources = sources
    self.namespaces = namespaces
  }

  /// The low third tells namespaces; nil unless the bits are adjacent and from 6 to 21: sp_marks has 65,536 rows.
  ///
  /// Fourteen bits are 1,023 workloads in 15 namespaces.
  init?(mask: UInt32) {
    let width = mask.nonzeroBitCount
    guard (6...21).contains(width), mask.leadingZeroBitCount + mask.trailingZeroBitCount + width == 32 else {
      return nil
    }
    namespaces = ((UInt32(1) << UInt32(width / 3)) - 1) << UInt32(mask.trailingZeroBitCount)
    sources = mask & ~namespaces
  }

  /// All our bits.
  var whole: UInt32 { sources | namespaces }

  /// The largest number of a source.
  var lastSource: UInt32 { sources >> UInt32(sources.trailingZeroBitCount) }

  /// The largest number of a namespace; 0 is none.
  var lastNamespace: UInt32 { namespaces >> UInt32(namespaces.trailingZeroBitCount) }

  /// The mark of a source.
  func mark(source number: UInt32) -> UInt32 { number << UInt32(sources.trailingZeroBitCount) }

  /// What marks the packets of a namespace.
  func namespace(_ number: UInt32) -> MarkNamespace {
    MarkNamespace(mark: number << UInt32(namespaces.trailingZeroBitCount), mask: namespaces)
  }
}
