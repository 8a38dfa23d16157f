// What libbpf would print on stderr, caught for the error that is about to be thrown.
internal import CLibbpf
internal import Glibc
internal import Synchronization

/// libbpf has one print function per process; each capturing thread gets the lines that it caused itself.
enum LibbpfLog {
  private static let lines = Mutex<[UInt: String]>([:])

  /// Installed once, on first use.
  private static let installed: Void = {
    _ = unsafe libbpf_set_print { level, format, arguments in
      guard level != LIBBPF_DEBUG, let format = unsafe format, let arguments = unsafe arguments else { return 0 }
      return unsafe LibbpfLog.append(format, arguments)
    }
  }()

  /// Runs `body` and returns its result and what libbpf said on this thread meanwhile.
  static func capture<T>(_ body: () -> T) -> (T, String) {
    _ = installed
    let thread = UInt(pthread_self())
    lines.withLock { $0[thread] = "" }
    let value = body()
    let said = lines.withLock { $0.removeValue(forKey: thread) }
    return (value, said ?? "")
  }

  private static func append(_ format: UnsafePointer<CChar>, _ arguments: CVaListPointer) -> Int32 {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      guard let base = buffer.baseAddress else { return 0 }
      let written = unsafe vsnprintf(base, buffer.count, format, arguments)
      let line = unsafe String(cString: base)
      let thread = UInt(pthread_self())
      lines.withLock { lines in
        // Nobody captures: say nothing, the return value tells the caller.
        guard let said = lines[thread] else { return }
        lines[thread] = said + line
      }
      return written
    }
  }
}
