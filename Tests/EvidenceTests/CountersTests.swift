// Counters as table, JSON and OpenMetrics; processes as far as /proc tells.

import Enforcement
import Glibc
import Kernel
import SystemPackage
import Testing

@testable import Evidence

@Suite struct CountersTests {
  @Test("Losses are shown even when nothing was judged, and the text formats are well formed")
  func empty() throws {
    var counters = DatapathCounters()
    counters.statistics.recordsLost = 3
    let shown = Counters(counters, snapshot: Snapshot())
    #expect(shown.text().contains("records_lost"))
    #expect(shown.json.contains("\"records_lost\":3") && shown.json.hasPrefix("{\"workloads\":[]"))
    #expect(shown.openMetrics.contains("\nsallyport_records_lost_total 3\n") && shown.openMetrics.hasSuffix("# EOF\n"))
    for line in shown.openMetrics.split(separator: "\n") where !line.hasPrefix("#") {
      #expect(line.split(separator: " ").count == 2, "\(line)")
    }
  }

  @Test("A label value of OpenMetrics can end neither its quotes nor its line")
  func escaping() {
    #expect("a\"b\\c\nd\u{1b}".openMetricsEscaped == "a\\\"b\\\\c\\nd?")
  }

  @Test("A living process is shown with its executable, one of the same number that began later is not")
  func processes() throws {
    var processes = LiveProcesses()
    var event = FlowEvent(kind: .bind, time: Clock.monotonicNanoseconds(), socket: 1)
    event.pid = UInt32(getpid())
    event.uid = 0
    event.command = CommandName("test")
    let name = processes.process(of: event)
    #expect(name.executable?.hasPrefix("/") == true && name.user == "root")
    #expect(processes.process(of: event) === name)
    // Written before this process began: it was another one.
    event.time = 1
    event.command = CommandName("other")
    #expect(processes.process(of: event).executable == nil)
  }

  @Test("A follower gets the lines that are written after it began, across a rotation", .timeLimit(.minutes(5)))
  func follow() async throws {
    let folder = try Folder()
    defer { folder.remove() }
    let path = folder.path.appending("flows.jsonl")
    var log = try FlowLog.open(.init(path: path, rotateAfter: 20, keep: 9))
    try log.append([UInt8]("before\n".utf8), count: 1)
    let (lines, feed) = AsyncStream<String>.makeStream()
    let follower = Task {
      try await FlowLogReader.follow(path, from: .oldest) { feed.yield(String(decoding: $0, as: UTF8.self)) }
    }
    var seen: [String] = []
    for await line in lines {
      seen.append(line)
      if seen.count == 6 { break }
      try log.append([UInt8]("line \(seen.count)\n".utf8), count: 1)
    }
    follower.cancel()
    #expect(seen == ["before", "line 1", "line 2", "line 3", "line 4", "line 5"])
  }
}
