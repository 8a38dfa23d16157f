// Does the section [X-Sallyport] of unit files mean what systemd's own sections would, and is nobody else's believed?
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite("Labels from unit files", .requires(.root))
struct SystemdUnitTests {
  /// Directories like /etc, /run and /usr/lib have, with files whose contents are the section's.
  private func withUnits(_ body: (String, UnitFiles) async throws -> Void) async throws {
    try await TemporaryDirectory.with { path in
      for name in ["etc", "run", "lib"] { try makeDirectory("\(path)/\(name)") }
      try await body(path, UnitFiles(directories: ["etc", "run", "lib"].map { "\(path)/\($0)" }))
    }
  }

  private func write(_ path: String, _ lines: String..., section: String = "[X-Sallyport]") throws {
    let directory = String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
    try makeDirectory(directory, mayExist: true)
    try replaceFile(FilePath(path), with: Array(([section] + lines).joined(separator: "\n").utf8))
  }

  private func labels(_ files: UnitFiles, _ unit: String) throws -> String? {
    try files.settings(of: #require(UnitName(unit)))?.labels.description
  }

  @Test("Files are merged in systemd's order, and a name hides the same name in later directories")
  func order() async throws {
    try await withUnits { path, files in
      #expect(try labels(files, "a.service") == nil)
      try write("\(path)/lib/a.service", "Labels=app=a tier=front")
      #expect(try labels(files, "a.service") == "app=a,tier=front")
      try write("\(path)/etc/a.service", "Labels=app=b")
      #expect(try labels(files, "a.service") == "app=b")
      try write("\(path)/lib/a.service.d/20-x.conf", "Labels=tier=x")
      try write("\(path)/etc/a.service.d/10-y.conf", "Labels=tier=y zone=1")
      #expect(try labels(files, "a.service") == "app=b,tier=x,zone=1")
      try write("\(path)/run/a.service.d/20-x.conf", "Labels=tier=run")
      #expect(try labels(files, "a.service") == "app=b,tier=run,zone=1")
      try write("\(path)/etc/service.d/90-all.conf", "Labels=all=yes")
      #expect(try labels(files, "a.service") == "all=yes,app=b,tier=run,zone=1")
      try write("\(path)/etc/a.service.d/95-reset.conf", "Labels=", "Labels=only=this")
      #expect(try labels(files, "a.service") == "only=this")
      _ = unsafe symlink("/dev/null", "\(path)/etc/a.service.d/20-x.conf")
      _ = unsafe unlink("\(path)/etc/a.service.d/95-reset.conf")
      #expect(try labels(files, "a.service") == "all=yes,app=b,tier=y,zone=1")
    }
  }

  @Test("Instances have their template's files, and names with dashes those of their prefixes")
  func templates() async throws {
    try await withUnits { path, files in
      try write("\(path)/lib/g@.service", "Labels=app=g")
      try write("\(path)/etc/g@.service.d/1.conf", "Labels=a=template")
      try write("\(path)/etc/g@one.service.d/2.conf", "Labels=b=instance")
      #expect(try labels(files, "g@one.service") == "a=template,app=g,b=instance")
      #expect(try labels(files, "g@two.service") == "a=template,app=g")
      try write("\(path)/etc/foo-.service.d/1.conf", "Labels=from=foo all=1")
      try write("\(path)/etc/foo-bar-.service.d/1.conf", "Labels=from=bar")
      #expect(try labels(files, "foo-bar-baz.service") == "from=bar")
      #expect(try labels(files, "foo-x.service") == "all=1,from=foo")
      #expect(try labels(files, "foo.service") == nil)
      try write("\(path)/etc/web-.slice.d/1.conf", "Labels=s=1")
      #expect(try labels(files, "web-front.slice") == "s=1")
    }
  }

  @Test("Comments, continued lines, quotes and other sections are read as systemd reads them")
  func syntax() throws {
    var settings = UnitSettings()
    let text = """
      [Service]
      Labels=not=ours
      [X-Sallyport]
      # a comment
      ; another one
      Labels = app=web \\
        # within
        tier=front
      Labels="team=north west" empty=
      Mode=observe
      Children=reject-until-labelled
      [Install]
      Mode=nonsense
      """
    try settings.read(text, file: "f")
    #expect(settings.labels["app"] == "web" && settings.labels["tier"] == "front")
    #expect(settings.labels["team"] == "north west" && settings.labels["empty"] == "")
    #expect(settings.labels["not"] == nil)
    #expect(settings.observe && settings.rejectsUnlabelledChildren)
    try settings.read("[X-Sallyport]\nMode=\nChildren=inherit", file: "g")
    #expect(!settings.observe && !settings.rejectsUnlabelledChildren && settings.labels["app"] == "web")
  }

  @Test(
    "What is wrong is refused with file, line and remedy, and nothing of the file is used [9]",
    arguments: [
      ("Labels=app", "no label"), ("Labels=sallyport.unit=x", "set by the agent alone"),
      ("Labels=container.image=x", "set by the agent alone"), ("Labels=\"a=b", "quote"), ("Labels=!=b", "label key"),
      ("Mode=off", "no mode"), ("Children=kill", "Children=inherit"), ("Label=a=b", "no key"),
      ("nonsense", "assignment"),
      ("Labels=a=\(String(repeating: "x", count: 254))", "253"), ("Labels=a=b\u{7}c", "control"),
    ])
  func faults(line: String, says: String) throws {
    var settings = UnitSettings(labels: try LabelSet(parsing: "before=1"))
    let before = settings
    let text = "[X-Sallyport]\nLabels=after=1\n\(line)\n"
    let error = #expect(throws: UnitSettingsError.self) { try settings.read(text, file: "f") }
    #expect(error?.description.hasPrefix("f:3: ") == true)
    #expect(error?.description.contains(says) == true, "\(String(describing: error))")
    #expect(settings == before)
  }

  @Test("A file that others than root can write to is not believed [9]")
  func permissions() async throws {
    try await withUnits { path, files in
      try write("\(path)/etc/a.service", "Labels=app=a")
      for mode in [0o664, 0o666, 0o646] as [mode_t] {
        _ = unsafe chmod("\(path)/etc/a.service", mode)
        let error = #expect(throws: UnitSettingsError.self) { try labels(files, "a.service") }
        #expect(error?.description.contains("chmod go-w") == true)
      }
      _ = unsafe chmod("\(path)/etc/a.service", 0o644)
      _ = unsafe chown("\(path)/etc/a.service", 1, 0)
      #expect(throws: UnitSettingsError.self) { try labels(files, "a.service") }
      _ = unsafe chown("\(path)/etc/a.service", 0, 0)
      #expect(try labels(files, "a.service") == "app=a")
      _ = unsafe chmod("\(path)/etc", 0o777)
      #expect(throws: UnitSettingsError.self) { try labels(files, "a.service") }
      // Without our section it is none of our business.
      try write("\(path)/etc/b.service", "ExecStart=x", section: "[Service]")
      #expect(try labels(files, "b.service") == nil)
    }
  }

  @Test("The source labels the unit's own cgroup at once, and hears of every change without being told")
  func source() async throws {
    try await withUnits { path, files in
      let source = SystemdUnits(files: files)
      func ask(_ path: String) throws -> SourceLabels? {
        try source.labels(of: CgroupPlace(cgroup: CgroupID(rawValue: 1), path: path))
      }
      let place = "/system.slice/a.service"
      #expect(try ask(place)?.makesWorkload == false)
      #expect(try ask(place)?.labels.description == "sallyport.slice=system.slice,sallyport.unit=a.service")
      for round in 0..<50 {
        try write("\(path)/etc/a.service.d/50-s.conf", "Labels=round=\(round)")
        #expect(try ask(place)?.labels["round"] == String(round))
        if round % 10 == 9 { TemporaryDirectory.remove("\(path)/etc/a.service.d") }
      }
      try write("\(path)/etc/a.service", "Labels=app=a", "Mode=observe", "Children=reject-until-labelled")
      let found = try #require(try ask(place))
      #expect(found.makesWorkload && found.observe && found.rejectsUnlabelledChildren && found.name == "a.service")
      #expect(try ask("\(place)/below")?.makesWorkload == false)
      #expect(try ask("\(place)/below")?.labels["sallyport.unit"] == "a.service")
      // A user's own manager: its unit of the same name gets nothing [6].
      let own = try #require(try ask("/user.slice/user-0.slice/user@0.service/app.slice/a.service"))
      #expect(!own.makesWorkload && own.labels["app"] == nil && own.labels["sallyport.unit"] == "user@0.service")
      #expect(own.labels["sallyport.user"] == "root")
      #expect(try ask("/user.slice/user-0.slice/session-3.scope")?.labels["sallyport.unit"] == nil)
      let pod = "kubepods-pod0b34f0e5_6f2c_4d0a_9d0e_1b2c3d4e5f60.slice"
      #expect(try ask("/kubepods.slice/\(pod)")?.labels.description == "sallyport.slice=kubepods.slice")
      try write("\(path)/etc/a.service", "Mode=loud")
      let fault = #expect(throws: SourceFault.self) { try ask(place) }
      #expect(fault?.description.contains("a.service:2: ") == true)
      #expect(!source.claims(CgroupPlace(cgroup: CgroupID(rawValue: 1), path: "/docker/x/a.service")))
    }
  }

  @Test("Whoever follows is told the unit whose files changed")
  func follow() async throws {
    try await withUnits { path, files in
      let source = SystemdUnits(files: files)
      let (changes, continuation) = AsyncStream.makeStream(of: SourceChange.self)
      let task = Task { await source.follow({ continuation.yield($0) }, report: { _ in }) }
      var iterator = changes.makeAsyncIterator()
      #expect(await iterator.next() == .everything)
      try write("\(path)/etc/a.service", "Labels=app=a")
      var next = await iterator.next()
      // A file beside it that is renamed into place is no unit, and what changed before the watch began is in no event:
      // everything may have changed, and the unit is named when it changes again.
      while next == .everything {
        try write("\(path)/etc/a.service", "Labels=app=a")
        next = await iterator.next()
      }
      #expect(next == .unit("a.service"))
      task.cancel()
      await task.value
    }
  }
}
