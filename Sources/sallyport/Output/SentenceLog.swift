// The agent's log on standard error: a sentence a line, with its fields after it.
internal import Glibc
internal import Kernel
internal import Logging

/// Writes `LEVEL: MESSAGE (KEY VALUE, …)`, with the time before it unless something else notes the time.
///
/// Under systemd every line begins with its priority (sd-daemon(3)) and has no time: the journal keeps both.
struct SentenceLog: LogHandler {
  var logLevel: Logger.Level = .info
  var metadata: Logger.Metadata = [:]
  private let isJournal: Bool
  private let write: @Sendable (String) -> Void

  /// Writes to standard error.
  init() {
    self.init(isJournal: Self.isJournal(Self.journalStream)) { text in
      // A reader that has gone is no reason to stop: what cannot be written is lost.
      let bytes = Array(text.utf8)
      _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
    }
  }

  init(isJournal: Bool, write: @escaping @Sendable (String) -> Void) {
    self.isJournal = isJournal
    self.write = write
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
      .map { "\($0.key) \($0.value)" }
    let text = "\(event.message)" + (fields.isEmpty ? "" : " (\(fields.joined(separator: ", ")))")
    let start = isJournal ? "<\(event.level.priority)>" : "\(Self.now()) \(event.level): "
    // One call per line, so that lines of several threads do not mix.
    write(start + text.split(separator: "\n").joined(separator: " | ") + "\n")
  }

  /// `2026-11-22T23:22:42Z`.
  private static func now() -> String {
    let now = CalendarTime(secondsSince1970: Int(Clock.wallNanoseconds() / 1_000_000_000), inUTC: true)
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(now.year)-\(two(now.month))-\(two(now.day))T\(two(now.hour)):\(two(now.minute)):\(two(now.second))Z"
  }

  private static var journalStream: String? {
    unsafe getenv("JOURNAL_STREAM").map { unsafe String(cString: $0) }
  }

  /// Whether standard error is the stream that systemd named as `DEVICE:INODE`: a redirected one is not.
  private static func isJournal(_ stream: String?) -> Bool {
    var status = stat()
    guard let stream, unsafe fstat(2, &status) == 0 else { return false }
    return stream == "\(status.st_dev):\(status.st_ino)"
  }
}

extension Logger.Level {
  /// As syslog(3) numbers them.
  fileprivate var priority: Int {
    switch self {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}
