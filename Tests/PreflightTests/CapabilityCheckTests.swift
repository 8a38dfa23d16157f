// Is each missing capability found, in this process and in what bounds the agent's unit?
import Kernel
import Preflight
import SystemPackage
import Testing

@Suite struct CapabilityCheckTests {
  private static func name(_ capability: Capability) -> String {
    "capability." + capability.description.dropFirst(4).lowercased().split(separator: "_").joined(separator: "-")
  }

  @Test(arguments: Capability.all)
  func theOneThatIsTakenAwayIsTheOneThatIsMissing(_ taken: Capability) throws {
    var host = try Tree().host
    let left = ~(UInt64(1) << taken.rawValue)
    host.capabilities = .seen(CapabilitySets(effective: left, permitted: left, bounding: .max))
    for capability in Capability.all {
      let finding = try Check.named(Self.name(capability)).find(in: host)
      // CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON.
      let isThere = capability != taken || [.bpf, .perfmon].contains(taken)
      #expect((finding.outcome == .pass) == isThere, "\(capability): \(finding)")
      guard !isThere else { continue }
      #expect(!finding.remedy.isEmpty && !finding.meaning.isEmpty, "\(finding)")
      let isOptional = [.sysResource, .sysModule, .dacReadSearch].contains(taken)
      #expect(finding.outcome == (isOptional ? .warn : .fail))
    }
  }

  @Test func whatTheBoundingSetLacksNobodyCanAdd() throws {
    var host = try Tree().host
    host.capabilities = .seen(CapabilitySets(effective: 0, permitted: 0, bounding: 0))
    let finding = try Check.named("capability.net-admin").find(in: host)
    #expect(
      finding.found.contains("no program that it starts can") && finding.remedy.contains("CapabilityBoundingSet="))
  }

  @Test func whatIsHeldInAUserNamespaceIsNotHeld() throws {
    for map in ["         0      65534          1\n", ""] {
      let finding = try Tree(["/proc/self/uid_map": map]).find("capability.net-admin")
      #expect(finding.outcome == .fail && finding.remedy.contains("the host's user namespace"), "\(finding)")
      #expect(try Tree(["/proc/self/uid_map": map]).find("capability.bpf").outcome == .fail)
    }
    let first = try Tree(["/proc/self/uid_map": "         0          0 4294967295\n"])
    #expect(try first.find("capability.net-admin").outcome == .pass)
  }

  @Test func aUserIsToldToBecomeRoot() throws {
    var host = try Tree().host
    host.user = 1000
    host.capabilities = .seen(CapabilitySets(effective: 0, permitted: 0, bounding: .max))
    #expect(try Check.named("capability.net-admin").find(in: host).remedy == "run as root")
  }

  @Test(arguments: [
    ("CapabilityBoundingSet=CAP_NET_ADMIN CAP_BPF\n", "sys-ptrace", Outcome.fail),
    ("CapabilityBoundingSet=CAP_NET_ADMIN CAP_BPF\n", "net-admin", .pass),
    ("CapabilityBoundingSet=~CAP_NET_RAW\n", "net-raw", .fail),
    ("CapabilityBoundingSet=~CAP_NET_RAW\n", "net-admin", .pass),
    ("CapabilityBoundingSet=CAP_SYS_ADMIN\n", "bpf", .pass),
    ("CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_BPF\n", "net-admin", .fail),
    ("ExecStart=/usr/bin/sallyport run\n", "net-admin", .pass),
  ])
  func theUnitsBoundsCount(_ text: String, _ name: String, _ outcome: Outcome) throws {
    let tree = try Tree(["/etc/systemd/system/sallyport.service": "[Service]\n" + text])
    let finding = try tree.find("capability.\(name)")
    #expect(finding.outcome == outcome, "\(finding)")
  }

  @Test func aDropInOfTheUnitAdds() throws {
    let tree = try Tree([
      "/usr/lib/systemd/system/sallyport.service": "CapabilityBoundingSet=CAP_BPF\n",
      "/etc/systemd/system/sallyport.service.d/more.conf": "CapabilityBoundingSet=CAP_NET_ADMIN\n",
    ])
    #expect(try tree.find("capability.net-admin").outcome == .pass)
    #expect(try tree.find("capability.net-raw").found.contains("does not grant CAP_NET_RAW"))
  }

  @Test func theKernelsOwnWordIsTheSameAsProcs() throws {
    let sets = try CapabilitySets.current()
    let status = try readKernelFile("/proc/self/status").split(separator: "\n")
    for (key, value) in [("CapEff:", sets.effective), ("CapPrm:", sets.permitted), ("CapBnd:", sets.bounding)] {
      let line = try #require(status.first { $0.hasPrefix(key) })
      #expect(UInt64(line.split(separator: "\t").last ?? "", radix: 16) == value)
    }
  }
}
