// The log keeps whole lines, bounded in size, and a reader that follows misses none.

import Evidence
import Glibc
import SystemPackage
import Testing

/// A folder of its own, removed with everything in it.
final class Folder {
  let path: FilePath

  init() throws {
    path = FilePath("/tmp/sallyport-evidence-\(getpid())-\(UInt64.random(in: .min ... .max))")
    let result = unsafe path.withPlatformString { unsafe mkdir($0, 0o700) }
    try #require(result == 0)
  }

  func remove() {
    for name in ["flows.jsonl"] + (1...9).map({ "flows.jsonl.\($0)" }) {
      unsafe path.appending(name).withPlatformString { _ = unsafe unlink($0) }
    }
    unsafe path.withPlatformString { _ = unsafe rmdir($0) }
  }

  func contents(_ name: String) -> String? {
    guard let file = try? FileDescriptor.open(path.appending(name), .readOnly) else { return nil }
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = (try? unsafe bytes.withUnsafeMutableBytes { try unsafe file.read(into: $0) }) ?? 0
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}

@Suite struct FlowLogTests {
  private func bytes(_ text: String) -> [UInt8] { [UInt8](text.utf8) }

  private func lines(_ reader: inout FlowLogReader) throws -> [String] {
    var lines: [String] = []
    try reader.readAvailable { lines.append(String(decoding: $0, as: UTF8.self)) }
    return lines
  }

  @Test("The log rotates by size and keeps as many files as it was told")
  func rotation() throws {
    let folder = try Folder()
    defer { folder.remove() }
    var log = try FlowLog.open(.init(path: folder.path.appending("flows.jsonl"), rotateAfter: 10, keep: 2))
    for number in 0..<5 { try log.append(bytes("line \(number)\n"), count: 1) }
    #expect(folder.contents("flows.jsonl") == "line 4\n")
    #expect(folder.contents("flows.jsonl.1") == "line 3\n")
    #expect(folder.contents("flows.jsonl.2") == "line 2\n")
    #expect(folder.contents("flows.jsonl.3") == nil)
  }

  @Test("A reader that follows gets every line in order across several rotations")
  func follow() throws {
    let folder = try Folder()
    defer { folder.remove() }
    let path = folder.path.appending("flows.jsonl")
    var log = try FlowLog.open(.init(path: path, rotateAfter: 30, keep: 4))
    try log.append(bytes("old 1\nold 2\n"), count: 2)
    var all = try FlowLogReader.open(path, from: .oldest)
    var new = try FlowLogReader.open(path, from: .end)
    #expect(try lines(&all) == ["old 1", "old 2"])
    #expect(try lines(&new) == [])
    var expected: [String] = []
    for number in 0..<40 {
      try log.append(bytes("record \(number)\n"), count: 1)
      expected.append("record \(number)")
      // Read at uneven times: sometimes several files lie between.
      guard number % 7 == 6 || number == 39 else { continue }
      #expect(try lines(&all) == expected)
      #expect(try lines(&new) == expected)
      expected = []
    }
    #expect(all.gaps == 0 && new.gaps == 0)
  }

  @Test("Who reads what is there ends, although more is written as fast as it is read", arguments: [1 << 20, 30, 1])
  func present(rotateAfter: Int) throws {
    let folder = try Folder()
    defer { folder.remove() }
    let path = folder.path.appending("flows.jsonl")
    var log = try FlowLog.open(.init(path: path, rotateAfter: rotateAfter, keep: 3))
    for number in 0..<3 { try log.append(bytes("record \(number)\n"), count: 1) }
    var reader = try FlowLogReader.open(path, from: .oldest)
    var read: [String] = []
    try reader.readPresent { line in
      read.append(String(decoding: line, as: UTF8.self))
      try #require(read.count < 50)
      for _ in 0..<3 { try log.append(bytes("record more\n"), count: 1) }
    }
    #expect(read.starts(with: ["record 0"]))
    #expect(rotateAfter == 1 || read == ["record 0", "record 1", "record 2"], "\(read)")
  }

  @Test("A reader that is left behind by rotation says so and goes on with the oldest file")
  func leftBehind() throws {
    let folder = try Folder()
    defer { folder.remove() }
    let path = folder.path.appending("flows.jsonl")
    var log = try FlowLog.open(.init(path: path, rotateAfter: 1, keep: 2))
    try log.append(bytes("0\n"), count: 1)
    var reader = try FlowLogReader.open(path, from: .oldest)
    for number in 1..<8 { try log.append(bytes("\(number)\n"), count: 1) }
    #expect(try lines(&reader) == ["0", "5", "6", "7"])
    #expect(reader.gaps == 1)
  }

  @Test("A line that is written in two parts is read once, whole")
  func partialLines() throws {
    let folder = try Folder()
    defer { folder.remove() }
    let path = folder.path.appending("flows.jsonl")
    let file = try FileDescriptor.open(
      path, .writeOnly, options: [.create, .append], permissions: .ownerReadWrite)
    defer { try? file.close() }
    try file.writeAll(bytes("first\nsec"))
    var reader = try FlowLogReader.open(path, from: .oldest)
    #expect(try lines(&reader) == ["first"])
    try file.writeAll(bytes("ond\n"))
    #expect(try lines(&reader) == ["second"])
  }

  @Test("A line torn by a crash is ended before the next one is written")
  func torn() throws {
    let folder = try Folder()
    defer { folder.remove() }
    let path = folder.path.appending("flows.jsonl")
    let file = try FileDescriptor.open(
      path, .writeOnly, options: [.create, .append], permissions: .ownerReadWrite)
    try file.writeAll(bytes("{\"torn"))
    try file.close()
    var log = try FlowLog.open(.init(path: path))
    try log.append(bytes("whole\n"), count: 1)
    #expect(folder.contents("flows.jsonl") == "{\"torn\nwhole\n")
  }

  @Test("A full disk is an error with a remedy, counts the lines, and the log goes on", .enabled(if: hasFullDevice))
  func fullDisk() throws {
    var log = try FlowLog.open(.init(path: "/dev/full"))
    #expect {
      try log.append([UInt8]("a\nb\n".utf8), count: 2)
    } throws: { error in
      "\(error)".contains("append to flow log /dev/full") && "\(error)".contains("free space")
    }
    #expect(log.lostLines == 2)
  }

  @Test("A missing log is an error that says what to do")
  func missing() throws {
    #expect {
      _ = try FlowLogReader.open("/nonexistent/flows.jsonl", from: .oldest)
    } throws: { "\($0)".contains("start the agent") }
  }
}

private let hasFullDevice = unsafe access("/dev/full", W_OK) == 0
