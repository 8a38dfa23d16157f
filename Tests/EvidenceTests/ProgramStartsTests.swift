// Do processes that lived a moment get their own path, and nobody somebody else's?

import Enforcement
import Glibc
import Kernel
import SystemPackage
import Testing

@testable import Evidence

@Suite struct ProgramStartsTests {
  static func event(pid: UInt32, time: UInt64) -> FlowEvent {
    var event = FlowEvent(kind: .attempt, time: time, socket: 1)
    event.pid = pid
    event.command = CommandName("test")
    return event
  }

  /// Above the kernel's limit: nobody has it.
  static let gone: UInt32 = 1 << 22 + 5

  @Test("A process that is gone has the path that was told, from its start to its end and no longer")
  func span() {
    let starts = ProgramStarts()
    starts.note(pid: Self.gone, time: 100, path: "/bin/first")
    starts.note(pid: Self.gone, time: 200, path: "/bin/second")
    starts.noteEnd(pid: Self.gone, time: 300)
    starts.note(pid: Self.gone, time: 500, path: "/bin/third")
    var processes = LiveProcesses(starts: starts)
    let expected: [UInt64: String?] = [
      99: nil, 100: "/bin/first", 199: "/bin/first", 200: "/bin/second", 300: "/bin/second", 301: nil, 499: nil,
      500: "/bin/third", 9000: "/bin/third",
    ]
    for (time, path) in expected {
      #expect(processes.process(of: Self.event(pid: Self.gone, time: time)).executable == path, "at \(time)")
    }
    starts.forgetAll()
    #expect(processes.process(of: Self.event(pid: Self.gone, time: 200)).executable == nil)
  }

  @Test("While a process lives /proc says what it runs, not who told; of its program before only who told knows")
  func live() throws {
    let starts = ProgramStarts()
    let pid = UInt32(getpid())
    let now = Clock.monotonicNanoseconds()
    starts.note(pid: pid, time: now - 2_000, path: "/told/before")
    starts.note(pid: pid, time: now - 1_000, path: "/told/now")
    var processes = LiveProcesses(starts: starts)
    let own = try ProcessHandle.open(.current).facts().executable?.string
    #expect(processes.process(of: Self.event(pid: pid, time: now)).executable == own)
    #expect(processes.process(of: Self.event(pid: pid, time: now - 1_500)).executable == "/told/before")
    #expect(processes.process(of: Self.event(pid: pid, time: now)).executable == own)
    // It ended, and what /proc shows under its number is somebody else.
    starts.noteEnd(pid: pid, time: now + 1)
    var fresh = LiveProcesses(starts: starts)
    #expect(fresh.process(of: Self.event(pid: pid, time: now)).executable == "/told/now")
  }

  @Test("The oldest start is forgotten first, and memory stays bounded")
  func bounded() {
    let starts = ProgramStarts(limit: 3)
    for number: UInt32 in 1...5 { starts.note(pid: number, time: UInt64(number), path: "/bin/\(number)") }
    starts.note(pid: 5, time: 6, path: "/bin/6")
    let known = (1...5).map { starts.program(of: UInt32($0), at: 100)?.path }
    #expect(known == [nil, nil, nil, "/bin/4", "/bin/6"])
    #expect(starts.program(of: 5, at: 5)?.path == "/bin/5")
  }

  @Test("A program whose path could not be told ends that of the one before")
  func unknownPath() {
    let starts = ProgramStarts()
    starts.note(pid: Self.gone, time: 1, path: "/bin/a")
    starts.note(pid: Self.gone, time: 2, path: nil)
    #expect(starts.program(of: Self.gone, at: 1)?.path == "/bin/a")
    #expect(starts.program(of: Self.gone, at: 3) == .init(start: 2, path: nil, isCurrent: true))
  }
}
