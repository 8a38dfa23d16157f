// Do programs and links hold, replace and release what they should?
import BPF
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Programs and links", .requires(.bpf, .root, .cgroups))
struct ProgramTests {
  /// What every kernel offers that these tests run on.
  private static let offered: [Feature] = [
    .program(.cgroupSKB, attach: .cgroupEgress, name: "cgroup_skb", since: "4.10"),
    .program(.cgroupSocketAddress, attach: .cgroupConnect4, name: "cgroup/connect4", since: "4.17"),
    .program(.cgroupSocketAddress, attach: .cgroupConnect6, name: "cgroup/connect6", since: "4.17"),
    .program(.cgroupSocketAddress, attach: .cgroupSendmsg4, name: "cgroup/sendmsg4", since: "4.18"),
    .program(.cgroupSocketAddress, attach: .cgroupSendmsg6, name: "cgroup/sendmsg6", since: "4.18"),
    .program(.cgroupSocket, attach: .cgroupSocketCreate, name: "cgroup/sock_create", since: "4.10"),
    .program(.sockOps, attach: .cgroupSockOps, name: "sock_ops", since: "4.13"),
    .map(.hash, name: "hash", since: "3.19"),
    .map(.perCPUArray, name: "per-CPU array", since: "4.6"),
    .map(.lpmTrie, name: "LPM trie", since: "4.11"),
    .map(.ringBuffer, name: "ring buffer", since: "5.8"),
    .mapBatches,
  ]

  private func program(returning value: Int32, name: String = "t_return") throws(BPFError) -> BPFProgram {
    try BPFProgram.load(.cgroupSKB, attach: .cgroupEgress, name: name, instructions: [.move(0, value), .exit])
  }

  @Test("A program runs on a packet, many times if asked")
  func testRun() throws {
    let packet = PacketBuilder.ipv4(from: [10, 0, 0, 1], to: [10, 0, 0, 2]).udp(from: 1, to: 2).bytes
    let program = try program(returning: 1)
    let once = try program.testRun(packet: packet)
    #expect(once.returnValue == 1)
    let often = try program.testRun(packet: packet, repeating: 1000)
    #expect(often.nanoseconds < 10_000)
  }

  @Test("Equal code has an equal tag, other code another")
  func tags() throws {
    let tags = [try program(returning: 1).tag, try program(returning: 1).tag, try program(returning: 0).tag]
    #expect(tags[0] == tags[1] && tags[0] != tags[2])
    #expect(tags[0].count == 16)
  }

  @Test("A refused program's error carries the verifier's words")
  func refused() throws {
    let error = #expect(throws: BPFError.self) {
      _ = try BPFProgram.load(.cgroupSKB, name: "t_bad", instructions: [.exit])
    }
    #expect(error?.verifierLog?.contains("R0 !read_ok") == true)
  }

  @Test("A program of a type that cannot be run says ENOTSUPP by name")
  func notRunnable() throws {
    let program = try BPFProgram.load(
      .cgroupSocketAddress, attach: .cgroupConnect4, name: "t_connect", instructions: [.move(0, 1), .exit])
    let error = #expect(throws: BPFError.self) {
      _ = try program.testRun(packet: [UInt8](repeating: 0, count: 64))
    }
    #expect(error?.errno.rawValue == 524)
    #expect(error?.isUnsupported == true)
    #expect(error?.description.contains("ENOTSUPP") == true)
  }

  @Test("A link ends with its owner; replacing keeps the link and changes the program")
  func link() throws {
    try withSandbox { sandbox in
      let first = try program(returning: 1)
      let second = try program(returning: 0)
      let id: UInt32
      do {
        let link = try BPFLink.attach(first, cgroup: sandbox.cgroup.descriptor, type: .cgroupEgress)
        let before = try link.info()
        #expect(before.programID == first.id)
        #expect(before.cgroupID == sandbox.cgroup.id.rawValue)
        #expect(before.attachType == .cgroupEgress)
        try link.replace(program: second)
        let after = try link.info()
        #expect(after.programID == second.id && after.id == before.id)
        id = before.id
      }
      let next = try BPFLink.attach(first, cgroup: sandbox.cgroup.descriptor, type: .cgroupEgress)
      let info = try next.info()
      #expect(info.id != id)
    }
  }

  @Test("A pinned link outlives its owner, can be opened, replaced, detached and unpinned", .requires(.pins))
  func pinned() throws {
    try withSandbox { sandbox in
      let path = try sandbox.makePinDirectory() + "/link"
      let id: UInt32
      do {
        let link = try BPFLink.attach(
          program(returning: 1), cgroup: sandbox.cgroup.descriptor, type: .cgroupIngress)
        id = try link.info().id
        let pinned = try link.pin(at: path)
        #expect(try pinned.info().id == id)
      }
      let again = try PinnedLink.open(path)
      let other = try program(returning: 0)
      try again.replace(program: other)
      let info = try again.info()
      #expect(info.id == id && info.programID == other.id)
      try again.detach()
      let detached = try again.info()
      #expect(detached.cgroupID == nil)
      _ = try again.unpin()
      let error = #expect(throws: BPFError.self) { _ = try PinnedLink.open(path) }
      #expect(error?.errno == .noSuchFileOrDirectory)
    }
  }

  @Test("What is pinned as a map is not taken for a link or a program", .requires(.pins))
  func wrongKind() throws {
    try withSandbox { sandbox in
      let path = try sandbox.makePinDirectory() + "/map"
      try BPFMap<UInt32, UInt32>.create(.hash, name: "t_kind", maxEntries: 1).pin(at: path)
      #expect(throws: BPFError.self) { _ = try PinnedLink.open(path) }
      #expect(throws: BPFError.self) { _ = try BPFProgram.pinned(path) }
    }
  }

  @Test("Nothing is left open: programs and links close their descriptors")
  func leaks() throws {
    try withSandbox { sandbox in
      var numbers: [Int32] = []
      for _ in 0..<3 {
        let program = try program(returning: 1, name: "t_leak")
        let link = try BPFLink.attach(program, cgroup: sandbox.cgroup.descriptor, type: .cgroupEgress)
        numbers += [program.descriptor.raw, link.descriptor.raw]
      }
      // Other tests run at the same time and may take a number in between, but not every one in every round.
      #expect(Set(numbers).count < numbers.count)
    }
  }

  @Test("Probes tell the truth: what loads is supported, what the kernel does not know is not")
  func probes() throws {
    for feature in Self.offered { #expect(feature.probe() == .supported, "\(feature.name)") }
    let nonsense = Feature.program(ProgramType(rawValue: 9999), name: "nonsense", since: "never").probe()
    #expect(!nonsense.isSupported && nonsense.reason?.contains("nonsense") == true)
    let known = Feature.helper(5, for: .cgroupSKB, name: "ktime_get_ns", since: "4.1").probe()
    #expect(known == .supported)
    let arguments = Feature.helper(1, for: .cgroupSKB, name: "map_lookup_elem", since: "3.19").probe()
    #expect(arguments == .supported)
    let unknown = Feature.helper(99999, for: .cgroupSKB, name: "no_such_helper", since: "never").probe()
    #expect(!unknown.isSupported)
  }

  @Test("What is not an object is refused with libbpf's words, and not on stderr")
  func noObject() throws {
    let error = #expect(throws: BPFError.self) { _ = try BPFObject.open(bytes: [1, 2, 3, 4], name: "junk") }
    #expect(error?.operation == "open object")
    #expect(error?.verifierLog?.contains("libbpf") == true)
  }
}
