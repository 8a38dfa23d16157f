// Which versions of cgroups a host mounts, and where its processes are in version 1: from the texts of real hosts.
import Kernel
import SystemPackage
import Testing

@Suite("Layouts of cgroups")
struct CgroupLayoutTests {
  private static let systemdLegacy = """
    25 18 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
    26 25 0:23 / /sys/fs/cgroup/systemd rw,nosuid shared:9 - cgroup cgroup rw,xattr,release_agent=/usr/lib/systemd/systemd-cgroups-agent,name=systemd
    30 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup rw,cpu,cpuacct
    31 25 0:28 / /sys/fs/cgroup/pids rw,nosuid shared:14 - cgroup cgroup rw,pids

    """

  private static let older = [
    CgroupV1Mount(mountPoint: "/sys/fs/cgroup/systemd", names: ["name=systemd"]),
    CgroupV1Mount(mountPoint: "/sys/fs/cgroup/cpu,cpuacct", names: ["cpu", "cpuacct"]),
    CgroupV1Mount(mountPoint: "/sys/fs/cgroup/pids", names: ["pids"]),
  ]

  private func layout(_ text: String) -> CgroupLayout { CgroupLayout.parse(mountinfo: Array(text.utf8)) }

  @Test("Version 1 alone is told, with the names of its hierarchies")
  func legacy() {
    #expect(layout(Self.systemdLegacy) == .v1(Self.older, mirror: nil))
  }

  @Test("A mount of our own beside version 1 is the mirror, also when somebody mounts another one later")
  func mirrored() {
    let own = "60 20 0:38 / /run/sallyport/cgroup2 rw,nosuid - cgroup2 sallyport rw\n"
    let other = "61 20 0:38 / /mnt/cgroup2 rw - cgroup2 none rw\n"
    let mirror = CgroupMount(mountPoint: "/run/sallyport/cgroup2", root: "/")
    #expect(layout(Self.systemdLegacy + own) == .v1(Self.older, mirror: mirror))
    #expect(layout(Self.systemdLegacy + other + own) == .v1(Self.older, mirror: mirror))
  }

  @Test("Version 2 beside version 1, version 2 alone, and nothing at all")
  func others() {
    let newer = "40 25 0:38 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
    #expect(layout(Self.systemdLegacy + newer) == .hybrid)
    #expect(layout(newer) == .v2)
    #expect(layout("22 27 0:21 / /proc rw - proc proc rw\n") == .none)
  }

  @Test(
    "The path that counts",
    arguments: [
      // systemd's own tree comes first, whatever controllers say.
      (
        "11:pids:/system.slice/ssh.service\n9:cpu,cpuacct:/\n1:name=systemd:/system.slice/ssh.service/sub\n0::/\n",
        "/system.slice/ssh.service/sub", "name=systemd"
      ),
      // Docker on a host without a service manager that uses cgroups.
      ("7:memory:/docker/ab\n6:pids:/docker/ab\n3:cpuset:/\n1:name=systemd:/\n", "/docker/ab", "pids"),
      ("4:memory:/lxc/web\n1:cpu:/\n0::/x\n", "/lxc/web", "memory"),
      // OpenRC.
      ("12:name=openrc:/sshd\n5:pids:/other\n", "/sshd", "name=openrc"),
      // A name with colons, blanks and no UTF-8 escapes.
      ("1:name=systemd:/system.slice/a:b c.service\n", "/system.slice/a:b c.service", "name=systemd"),
      ("9:pids:/\n1:name=systemd:/\n0::/elsewhere\n", "/", "name=systemd"),
    ])
  func path(text: String, path: String, name: String) throws {
    let place = try #require(CgroupV1Membership.parse(Array(text.utf8)))
    #expect(place.path == FilePath(path))
    #expect(place.names.contains(name))
  }

  @Test("Without version 1, or outside of our cgroup namespace, there is no path")
  func none() {
    #expect(CgroupV1Membership.parse(Array("0::/a\n".utf8)) == nil)
    #expect(CgroupV1Membership.parse(Array("1:name=systemd:/../other\n".utf8)) == nil)
    #expect(CgroupV1Membership.parse([]) == nil)
  }

  @Test("A directory of a mount is a path of its hierarchy, and back")
  func locations() {
    let part = CgroupV1Mount(mountPoint: "/mnt/s", root: "/system.slice", names: ["name=systemd"])
    #expect(part.path(of: "/mnt/s/a.service") == "/system.slice/a.service")
    #expect(part.path(of: "/mnt/sub") == nil)
    #expect(part.location(of: "/system.slice/a.service") == "/mnt/s/a.service")
    #expect(part.location(of: "/user.slice") == nil)
  }
}
