// Is what may take for ever given up in time, and said to be so?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite struct TimedTests {
  /// Carries a child from the thread that started it.
  private final class Held: Sendable {
    let child: ChildProcess
    init(_ child: consuming ChildProcess) { self.child = child }
  }

  @Test func aProgramThatRunsTooLongIsKilled() throws {
    let sleep = try #require(Sandbox.find("sleep"))
    let begin = ContinuousClock.now
    do throws(KernelError) {
      _ = try CapturedProcess.run(sleep, ["60"], within: .milliseconds(100))
      Issue.record("it cannot have ended")
    } catch {
      #expect(error.errno == .timedOut, "\(error)")
    }
    #expect(ContinuousClock.now - begin < .seconds(20))
    #expect(try CapturedProcess.run(sleep, ["0"], within: .seconds(60)).status == 0)
  }

  @Test func aChildThatIsToDieWithItsCallerDoes() throws {
    let sleep = try #require(Sandbox.find("sleep"))
    func start(_ diesWithCaller: Bool) throws -> Held {
      // The thread that starts it ends at once.
      try runOnFreshThread("caller") { () throws(KernelError) in
        Held(try ChildProcess.start(sleep, ["60"], diesWithCaller: diesWithCaller))
      }
    }
    let doomed = try start(true)
    #expect(try doomed.child.wait(within: .seconds(20)) == 128 + SIGKILL)
    let free = try start(false)
    #expect(try free.child.wait(within: .milliseconds(50)) == nil)
  }

  @Test func aWakeEventIsWaitedForAtMostSoLong() throws {
    let event = try WakeEvent()
    #expect(try event.wait(atMost: .milliseconds(20)) == false)
    event.signal()
    #expect(try event.wait(atMost: .seconds(60)))
  }

  @Test func anAddressResolvesToItself() throws {
    let found = try NameLookup.addresses(of: "127.0.0.1")
    #expect(found.map(\.text) == ["127.0.0.1"] && found.map(\.isIPv4) == [true])
    #expect(try NameLookup.addresses(of: "::1").map(\.bytes) == [Array(repeating: 0, count: 15) + [1]])
    #expect(throws: NameLookupError.self) { try NameLookup.addresses(of: "a name with blanks") }
  }

  @Test func theLimitsOfBothVersionsOfCgroupsAreToldApart() {
    let text = """
      31 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct,release_agent=/x
      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
      42 23 0:39 / /sys/fs/bpf rw,relatime - bpf bpf rw,mode=700

      """
    #expect(CgroupV1Mount.parse(mountinfo: Array(text.utf8)).map(\.names) == [["cpu", "cpuacct"]])
    let all = FilesystemMount.parse(mountinfo: Array(text.utf8))
    #expect(all.map(\.type) == ["cgroup", "cgroup2", "bpf"] && all[2].options == ["rw", "mode=700"])
  }
}
