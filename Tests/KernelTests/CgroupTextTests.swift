// Do we read the kernel's texts about cgroups right? Fixtures only: runs anywhere.
import Kernel
import SystemPackage
import Testing

@Suite("Texts about cgroups")
struct CgroupTextTests {
  private func fixture(_ name: String) throws -> [UInt8] {
    try readKernelBytes(FilePath(#filePath).removingLastComponent().appending("Fixtures").appending(name))
  }

  @Test(
    "The hierarchy is found wherever it is mounted",
    arguments: [
      ("mountinfo-v2", "/sys/fs/cgroup"), ("mountinfo-hybrid", "/sys/fs/cgroup/unified"),
      ("mountinfo-nested", "/mnt/my cgroups\\x"),
    ])
  func find(_ name: String, _ mountPoint: String) throws {
    let hierarchy = try CgroupHierarchy.find(mountinfo: fixture(name))
    #expect(hierarchy.mount == CgroupMount(mountPoint: FilePath(mountPoint), root: "/"))
  }

  @Test("A host without cgroup v2 is told how to get it")
  func missing() throws {
    let text = try fixture("mountinfo-v1")
    let error = #expect(throws: KernelError.self) { try CgroupHierarchy.find(mountinfo: text) }
    #expect(error?.remedy?.contains("sallyport run") == true)
  }

  @Test("A mount of a part is listed with its root, and shows only what is below it")
  func part() throws {
    let mounts = CgroupMount.parse(mountinfo: try fixture("mountinfo-nested"))
    #expect(mounts.count == 3)
    let part = CgroupHierarchy(mount: try #require(mounts.first))
    #expect(part.location(of: "/system.slice/a.service/b") == "/srv/part/b")
    #expect(part.location(of: "/system.slice/other") == nil)
  }

  @Test(
    "Broken lines of mountinfo are ignored",
    arguments: ["", "\n", "1 2 3 - cgroup2", "- cgroup2", "a b c d e f -"])
  func broken(_ text: String) {
    #expect(CgroupMount.parse(mountinfo: Array(text.utf8)).isEmpty)
  }

  @Test("The line of cgroup v2 is found after lines of cgroup v1")
  func membership() {
    let text = "9:name=systemd:/x\n4:memory:/0::/no\n0::/user.slice/a:b.scope\n"
    #expect(
      CgroupMembership.parse(Array(text.utf8))
        == CgroupMembership(path: "/user.slice/a:b.scope", isDeleted: false))
    #expect(CgroupMembership.parse(Array("4:memory:/x\n".utf8)) == nil)
  }

  @Test("A removed directory is told apart")
  func deleted() {
    let found = CgroupMembership.parse(Array("0::/a/b (deleted)\n".utf8))
    #expect(found == CgroupMembership(path: "/a/b", isDeleted: true))
  }

  @Test("Names that are not UTF-8 keep their bytes")
  func bytes() throws {
    let found = try #require(CgroupMembership.parse(Array("0::/a".utf8) + [0xff, 0xfe, 10]))
    #expect(found.path.bytes == [0x2f, 0x61, 0xff, 0xfe])
  }

  @Test("CAP_SYS_ADMIN counts for CAP_BPF, and what is missing is named")
  func capabilities() throws {
    let admin = Capabilities(effective: 1 << 21)
    #expect(admin.missing([.bpf, .perfmon, .netAdmin]) == [.netAdmin])
    let error = #expect(throws: KernelError.self) { try Capabilities(effective: 0).require([.bpf, .netRaw]) }
    #expect(error?.subject == "CAP_BPF, CAP_NET_RAW")
  }
}
