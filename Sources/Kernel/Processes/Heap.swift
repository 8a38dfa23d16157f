// How much memory this process holds, and giving back what it no longer needs.
internal import CLinux
internal import SystemPackage

/// The C library's heap, from which Swift's values are allocated.
package enum Heap {
  /// Bytes that are allocated and not freed.
  package static var bytesInUse: Int {
    let info = mallinfo2()
    return info.uordblks + info.hblkhd
  }

  /// Has large blocks come from the kernel and go back to it, and threads share two heaps; for a process that lives long.
  ///
  /// Left alone, glibc keeps what a large block had once the first one was freed, and makes every thread a heap of its own
  /// (mallopt(3)). To be called before there are threads.
  package static func keepSmall() {
    mallopt(M_MMAP_THRESHOLD, 1 << 20)
    mallopt(M_TRIM_THRESHOLD, 128 << 10)
    mallopt(M_ARENA_MAX, 2)
  }

  /// Gives pages that hold nothing back to the kernel; costs as much as there are free pages.
  package static func trim() { malloc_trim(0) }
}

/// What of a process is in memory, in bytes.
package struct ResidentMemory: Sendable {
  /// Its own data: heap, stacks, what it wrote.
  package var anonymous = 0
  /// Files that are mapped: programs and libraries; shared with whoever maps them too.
  package var file = 0

  package var total: Int { anonymous + file }

  /// Looks at a process; reads `/proc/PID/smaps_rollup`, proc(5).
  package init(of process: ProcessID = .current) throws(KernelError) {
    var all = 0
    for line in try readKernelFile(FilePath("/proc/\(process)/smaps_rollup")).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count >= 2, let kibibytes = Int(words[1]) else { continue }
      if words[0] == "Rss:" { all = kibibytes << 10 }
      if words[0] == "Anonymous:" { anonymous = kibibytes << 10 }
    }
    file = all - anonymous
  }
}
