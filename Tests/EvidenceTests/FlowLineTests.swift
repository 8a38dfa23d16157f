// The JSON lines and tables, byte for byte.

import Enforcement
import Evidence
import JSON
import Policy
import Testing

@Suite struct FlowLineTests {
  @Test("An outgoing TCP connection opens and closes as these two lines")
  func goldenOutgoing() throws {
    var tracker = try Sample.tracker()
    let records = Sample.joined(
      &tracker, [try Sample.attempt(9, at: 500), try Sample.open(9, at: 1000), try Sample.close(9, at: 123_456_789)])
    let web = "\"identity\":\"\(try Sample.labels(("app", "web")).identity)\",\"labels\":{\"app\":\"web\"}"
    let api =
      "\"identity\":\"\(try Sample.labels(("app", "api"), ("tier", "2")).identity)\""
      + ",\"labels\":{\"app\":\"api\",\"tier\":\"2\"}"
    let middle =
      "\"direction\":\"outgoing\",\"verdict\":\"allow\",\"decidedBy\":\"rule\","
      + "\"rule\":{\"ruleSet\":\"web\",\"name\":\"to-api\",\"direction\":\"outgoing\",\"position\":0},"
      + "\"generation\":7,\"protocol\":\"tcp\","
      + "\"source\":{\"address\":\"10.0.0.1\",\"port\":43210,\(web),\"workload\":\"/t/web\"},"
      + "\"destination\":{\"address\":\"10.0.0.2\",\"port\":80,\(api),\"workload\":\"/t/api\"},"
      + "\"assurance\":\"socket\",\"process\":{\"pid\":4711,\"comm\":\"curl\",\"uid\":1000}"
    #expect(
      Sample.lines(records) == [
        "{\"time\":\"2026-11-22T23:22:42.000001000Z\",\"event\":\"open\",\(middle),\"rtt\":85}",
        "{\"time\":\"2026-11-22T23:22:42.123456789Z\",\"event\":\"close\",\(middle),"
          + "\"bytes\":{\"sent\":100,\"received\":2000},\"packets\":{\"sent\":6,\"received\":5},"
          + "\"rtt\":90,\"duration\":123455789}",
      ])
  }

  @Test("Every kind of line is read back with the same content")
  func readBack() throws {
    var tracker = try Sample.tracker()
    var incoming = try Sample.attempt(3, at: 5)
    incoming.kind = .refused
    incoming.direction = .incoming
    incoming.protocol = .icmp6
    incoming.remotePort = 128
    incoming.peer = Sample.corp
    incoming.peerWorkload = 0
    incoming.remote = try Sample.address("2001:db8::7")
    incoming.observedAction = .reject
    incoming.observedRule = 2
    incoming.decidedBy = .default
    incoming.rule = 0
    incoming.flags = [.revoked, .log]
    let line = try #require(Sample.lines(Sample.joined(&tracker, [incoming])).first)
    let flow = try #require(FlowLine(json: [UInt8](line.utf8)[...]))
    #expect(flow.event == "refused" && flow.verdict == "reject" && flow.decidedBy == "default")
    #expect(flow.protocol == "icmp6" && flow.icmpType == 128 && flow.source.port == nil)
    #expect(flow.source.address == "2001:db8::7" && flow.source.networks == ["corp", "office"])
    #expect(flow.destination.labels == ["app": "web"] && flow.destination.workload == "/t/web")
    #expect(flow.observed?.action == "reject" && flow.observed?.rule?.ruleSet == "api")
    #expect(flow.revoked == true && flow.log == true && flow.rule == nil && flow.duration == nil)
  }

  @Test("A command name can neither end its string nor its line nor steer the terminal")
  func injection() throws {
    let evil = ["a\"},\n{\"x\"", "\u{1b}[2J\u{7}", "back\\slash", "\r\nfake", "\u{202e}gpj"]
    for command in evil {
      var tracker = try Sample.tracker()
      let records = Sample.joined(
        &tracker, [try Sample.attempt(9, at: 1, command: command), try Sample.open(9, at: 2)])
      let lines = Sample.lines(records)
      #expect(lines.count == 1)
      let line = try #require(lines.first)
      #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x202e && $0.value != 0x7f })
      let flow = try #require(FlowLine(json: [UInt8](line.utf8)[...]))
      #expect(flow.process?.comm == String(decoding: command.utf8.prefix(15), as: UTF8.self))
      let shown = FlowTable(width: 200).line(flow)
      #expect(shown.dropLast().unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7f })
    }
  }

  @Test("A command name that is not UTF-8 becomes replacement characters")
  func notUTF8() throws {
    var event = try Sample.attempt(9, at: 1)
    event.command = CommandName(first: 0xff61_0000_0000_0000)
    var tracker = try Sample.tracker()
    let line = try #require(Sample.lines(Sample.joined(&tracker, [event, try Sample.open(9, at: 2)])).first)
    #expect(line.contains("\"comm\":\"\u{fffd}a\""))
  }

  @Test("Labels, networks and paths are escaped too")
  func escapedNames() throws {
    var json = JSONWriter()
    json.string("a\u{0}b\u{85}\u{2028}\u{e0041}é\u{1F600}")
    #expect(
      String(decoding: json.bytes, as: UTF8.self) == "\"a\\u0000b\\u0085\\u2028\\udb40\\udc41é\u{1F600}\"")
  }

  @Test("Times of day are right from 1970 to 2400, leap days included")
  func times() {
    let cases: [(UInt64, String)] = [
      (0, "1970-01-01T00:00:00.000000000Z"), (951_782_400, "2000-02-29T00:00:00.000000000Z"),
      (1_709_251_199, "2024-02-29T23:59:59.000000000Z"), (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
      (13_569_465_600, "2400-01-01T00:00:00.000000000Z"),
    ]
    for (seconds, text) in cases {
      #expect(WallTime(nanoseconds: seconds * 1_000_000_000).description == text)
    }
  }

  @Test("The flow table's lines are these, and never wider than the terminal")
  func goldenTable() throws {
    var tracker = try Sample.tracker()
    let records = Sample.joined(
      &tracker, [try Sample.attempt(9, at: 500), try Sample.open(9, at: 1000), try Sample.close(9, at: 123_456_789)])
    let flows = Sample.lines(records).compactMap { FlowLine(json: [UInt8]($0.utf8)[...]) }
    let table = FlowTable(width: 160)
    #expect(
      table.header + table.line(flows[0]) + table.line(flows[1]) == """
        TIME          EVENT    VERDICT  DIR  FROM                       TO                         PORT      DECIDED BY           PROCESS       DETAIL
        23:22:42.000  open     allow    out  app=web                    app=api,tier=2             tcp/80    web/to-api           curl[4711]    rtt 85.0 us
        23:22:42.123  close    allow    out  app=web                    app=api,tier=2             tcp/80    web/to-api           curl[4711]    100 B out, 1.9 KiB i~

        """)
    for width in [80, 100, 120, 160, 240] {
      for flow in flows { #expect(FlowTable(width: width).line(flow).count <= width + 1) }
    }
  }
}
