// Is the unit of a cgroup told by its path, and can nobody inside a unit pretend to be another?
import Testing
import Workloads

@Suite("Units by path")
struct SystemdPathTests {
  private func unit(_ path: String, root: String = "/") -> String? { UnitPath(path, root: root)?.unit.text }

  @Test(
    "A unit is the first directory below properly nested slices",
    arguments: [
      ("/system.slice/nginx.service", "nginx.service", true, "system.slice"),
      ("/system.slice/nginx.service/worker", "nginx.service", false, "system.slice"),
      ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", true, "system-getty.slice"),
      ("/init.scope", "init.scope", true, nil),
      ("/machine.slice/libpod-abc.scope/container/x", "libpod-abc.scope", false, "machine.slice"),
      ("/a.slice/a-b.slice/a-b-c.slice", "a-b-c.slice", true, "a-b-c.slice"),
      ("/system.slice/_cpu.service", "cpu.service", true, "system.slice"),
      ("/system.slice/dev-disk\\x2d1.swap", "dev-disk\\x2d1.swap", true, "system.slice"),
      ("/system.slice/not-a-unit/nginx.service", "system.slice", false, "system.slice"),
    ] as [(String, String, Bool, String?)])
  func nested(path: String, unit: String, itself: Bool, slice: String?) throws {
    let found = try #require(UnitPath(path))
    #expect(found.unit.text == unit)
    #expect(found.isUnitItself == itself)
    #expect(found.slice?.text == slice)
    #expect(found.userUnit == nil)
  }

  @Test(
    "Directories that their owner named like a unit are none [6] [9]",
    arguments: [
      ("/system.slice/app.service/nginx.service", "app.service"),
      ("/system.slice/app.service/system.slice/nginx.service", "app.service"),
      ("/machine.slice/docker-0.scope/system.slice/nginx.service", "docker-0.scope"),
      ("/system.slice/other.slice/nginx.service", "system.slice"),
      ("/a.slice/a-b-c.slice/nginx.service", "a.slice"),
      ("/a-b.slice/nginx.service", nil),
      ("/docker/0123/nginx.service", nil),
      ("/exec-web-17/system.slice/nginx.service", nil),
      ("/user.slice/user-7.slice/user@7.service/nginx.service", "user@7.service"),
      ("/user.slice/user-7.slice/session-1.scope/nginx.service", "session-1.scope"),
    ] as [(String, String?)])
  func pretended(path: String, unit: String?) { #expect(self.unit(path) == unit) }

  @Test("Names that systemd would refuse are no units [9]")
  func badNames() {
    let names = [
      "nginx@.service", "@.service", ".service", "a b.service", "a\nb.service", "a/b.service", "ä.service",
      "a@b@c.service",
      "a\u{fffd}.service", "-a.slice", "a-.slice", "a--b.slice", "a.slice@", "x.timer", "x", "",
      String(repeating: "a", count: 248) + ".service",
    ]
    for name in names { #expect(UnitName(name) == nil, "\(name)") }
    #expect(UnitName(String(repeating: "a", count: 247) + ".service") != nil)
    #expect(UnitPath("/system.slice/" + "a b.service")?.unit.text == "system.slice")
  }

  @Test("A user's manager names units of its own, and its user is told")
  func users() throws {
    let base = "/user.slice/user-1000.slice"
    let app = try #require(UnitPath("\(base)/user@1000.service/app.slice/nginx.service/x"))
    #expect(app.unit.text == "user@1000.service" && app.owner == 1000 && !app.isUnitItself)
    #expect(app.userUnit?.text == "nginx.service")
    let session = try #require(UnitPath("\(base)/session-c3.scope"))
    #expect(session.owner == 1000 && session.session == "c3" && session.userUnit == nil && session.isUnitItself)
    #expect(try #require(UnitPath(base)).owner == 1000)
    // A service of the system that happens to be in the user's slice is not the user's.
    #expect(try #require(UnitPath("\(base)/user-runtime-dir@1000.service")).owner == nil)
    // Another user's manager below this user's slice is nobody's.
    #expect(try #require(UnitPath("\(base)/user@7.service/app.slice/a.service")).userUnit == nil)
    #expect(UnitPath("/user.slice/user-01000.slice/session-1.scope")?.owner == nil)
    #expect(UnitPath("/system.slice/user-7.slice/user@7.service")?.owner == nil)
  }

  @Test("The walk begins anew at a watched cgroup that lies in no slice, and nowhere else")
  func watchedRoot() {
    #expect(unit("/test-1/system.slice/a.service", root: "/test-1") == "a.service")
    #expect(
      unit("/machine.slice/m.scope/payload/system.slice/a.service", root: "/machine.slice/m.scope/payload")
        == "a.service")
    #expect(unit("/machine.slice/m.scope/init.scope", root: "/machine.slice/m.scope") == "init.scope")
    #expect(unit("/machine.slice/m.scope", root: "/machine.slice/m.scope") == "m.scope")
    #expect(unit("/system.slice/a.service", root: "/system.slice") == "a.service")
    #expect(unit("/system.slice/a.service/b.service", root: "/system.slice") == "a.service")
    #expect(unit("/test-1/x/system.slice/a.service", root: "/test-1") == nil)
    // A user's own tree does not become the system's by being watched [6].
    let manager = "/user.slice/user-7.slice/user@7.service"
    #expect(unit("\(manager)/nginx.service", root: manager) == "user@7.service")
    #expect(unit("\(manager)/x/nginx.service", root: "\(manager)/x") == "user@7.service")
  }

  @Test("Names are read back for people, and random ones are known as such")
  func names() throws {
    #expect(try #require(UnitName("dev-disk-by\\x2duuid.swap")).decoded == "dev-disk-by-uuid.swap")
    #expect(try #require(UnitName("a\\x0ab.service")).decoded == "a\\x0ab.service")
    #expect(try #require(UnitName("getty@tty1.service")).template == "getty@.service")
    #expect(try #require(UnitName("a-b.slice")).parentSlice == "a.slice")
    let random = [
      "session-3.scope", "run-u12.service", "run-r0123456789abcdef0123456789abcdef.scope", "run-p12-i3.scope",
      "docker-\(String(repeating: "0a", count: 32)).scope",
      "machine-libpod_pod_\(String(repeating: "0a", count: 32)).slice",
      "kubepods-burstable-pod0b34f0e5_6f2c_4d0a_9d0e_1b2c3d4e5f60.slice",
    ]
    for name in random { #expect(try #require(UnitName(name)).isMachineMade, "\(name)") }
    for name in ["run-user-7.mount", "run-parts.service", "run-rabbit.service", "nginx.service", "init.scope"] {
      #expect(try !#require(UnitName(name)).isMachineMade, "\(name)")
    }
  }
}
