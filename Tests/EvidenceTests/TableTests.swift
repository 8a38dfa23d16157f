// Columns line up, shrink where they may, and amounts read well.

import Evidence
import Testing

@Suite struct TableTests {
  private func sample() -> Table {
    var table = Table(columns: [
      .init("NAME", minimum: 6), .init("COUNT", rightAligned: true), .init("LABELS", minimum: 8),
    ])
    table.add(["web", "12", "app=web,tier=front"])
    table.add(["a-long-name", "1234567"])
    return table
  }

  @Test("Columns are as wide as their widest cell; empty cells are dashes; nothing trails")
  func golden() {
    #expect(
      sample().text() == """
        NAME           COUNT  LABELS
        web               12  app=web,tier=front
        a-long-name  1234567  -

        """)
  }

  @Test("A narrow terminal shrinks the widest columns that may shrink, and marks the cut")
  func narrow() {
    #expect(
      sample().text(width: 32) == """
        NAME          COUNT  LABELS
        web              12  app=web,ti~
        a-long-na~  1234567  -

        """)
    #expect(sample().text(width: 10).split(separator: "\n").allSatisfy { $0.count <= 6 + 2 + 7 + 2 + 8 })
  }

  @Test("A cell cannot forge lines or colours")
  func injection() {
    var table = Table(columns: [.init("A"), .init("B")])
    table.add(["x\ny", "\u{1b}[31m"])
    #expect(table.text().split(separator: "\n").count == 2)
    #expect(table.text().contains("x\\u{a}y") && table.text().contains("\\u{1b}[31m"))
  }

  @Test("Wide and combining characters are counted as a terminal shows them")
  func wide() {
    var table = Table(columns: [.init("A"), .init("B")])
    table.add(["日本", "1"])
    table.add(["e\u{301}", "2"])
    #expect(table.text() == "A     B\n日本  1\ne\u{301}     2\n")
  }

  @Test("Amounts and durations read well at every magnitude")
  func units() {
    #expect(HumanUnits.bytes(0) == "0 B" && HumanUnits.bytes(1023) == "1023 B")
    #expect(HumanUnits.bytes(1536) == "1.5 KiB" && HumanUnits.bytes(5 << 20) == "5.0 MiB")
    #expect(HumanUnits.bytes(200 << 30) == "200 GiB" && HumanUnits.bytes(.max) == "15.9 EiB")
    #expect(HumanUnits.duration(nanoseconds: 999) == "999 ns")
    #expect(HumanUnits.duration(nanoseconds: 85_000) == "85.0 us")
    #expect(HumanUnits.duration(nanoseconds: 1_234_000_000) == "1.2 s")
    #expect(HumanUnits.duration(nanoseconds: 303_000_000_000) == "5m03s")
    #expect(HumanUnits.duration(nanoseconds: 100_000_000_000_000) == "1d03h")
  }
}
