// Giving back what of this program and its libraries was mapped to start it.
internal import Glibc
internal import SystemPackage

/// The instructions of this process in memory: pages of files that everybody who runs them shares.
package enum ProgramMemory {
  /// Unmaps the pages of instructions; those that run again come back from the page cache, a few at a time.
  ///
  /// A start runs through far more than what runs later, and the kernel maps sixteen pages for each that is touched. What
  /// somebody wrote into (a probe, a debugger) would be lost with its page: such a mapping is left alone, as is everything
  /// if that cannot be told. See madvise(2), MADV_DONTNEED.
  package static func release() {
    guard let mappings = try? readKernelFile(FilePath("/proc/self/smaps")) else { return }
    var range: Range<UInt>?
    for line in mappings.split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      if let found = instructions(words) {
        range = found
      } else if let first = words.first, first.last != ":" {
        range = nil
      } else if words.first == "Anonymous:", let place = range {
        range = nil
        guard words.count > 1, words[1] == "0" else { continue }
        unsafe madvise(UnsafeMutableRawPointer(bitPattern: place.lowerBound), place.count, MADV_DONTNEED)
      }
    }
  }

  /// The addresses of a mapping of a file that can be run and not be written: `START-END r-xp OFFSET DEVICE INODE /PATH`.
  private static func instructions(_ words: [Substring]) -> Range<UInt>? {
    guard words.count >= 6, words[1] == "r-xp", words[5].first == "/" else { return nil }
    let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
    guard ends.count == 2, ends[0] < ends[1] else { return nil }
    return ends[0]..<ends[1]
  }
}
