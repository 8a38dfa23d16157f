// Is a matching process in a cgroup of its own before it begins, and does nothing ever hang because of that?
import Enforcement
import Glibc
import Kernel
import Policy
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite("Placement", .requires(.root, .cgroups))
struct PlacementTests {
  private func tag(_ rule: String) throws -> WorkloadTag {
    WorkloadTag(labels: try LabelSet(parsing: "app=\(rule)"), name: rule)
  }

  private func cgroup(of process: borrowing ProcessHandle) throws -> String {
    try CgroupHierarchy.membership(of: process.id).path.string
  }

  @Test("A process gets a tagged cgroup below the one it is in, once, and its children follow")
  func place() throws {
    try withSandbox { sandbox in
      let unit = try sandbox.makeCgroup("a.service")
      let child = try sandbox.start(["sh", "-c", "sleep 60 & wait"], cgroup: unit)
      let placer = Placer(root: sandbox.cgroup)
      let placed = try placer.place(child.handle, tag: tag("web"))
      #expect(placed.wasMoved && placed.from == unit.path.string)
      let path = "\(unit.path)/sallyport-web-\(child.handle.id)"
      #expect(try cgroup(of: child.handle) == path && placed.cgroup.path.string == path)
      let written = try #require(CgroupTags(root: sandbox.cgroup).read(path))
      #expect(written.labels["app"] == "web" && written.transientOwner == child.handle.id.rawValue)
      #expect(try !placer.place(child.handle, tag: tag("web")).wasMoved)
      // Another rule puts it beside, not below.
      let moved = try placer.place(child.handle, tag: tag("db"))
      #expect(moved.wasMoved && moved.cgroup.path.string == "\(unit.path)/sallyport-db-\(child.handle.id)")
      try placer.withdraw(child.handle, rule: "web")
      #expect(try cgroup(of: child.handle) == moved.cgroup.path.string)
      try placer.withdraw(child.handle, rule: "db")
      #expect(try cgroup(of: child.handle) == unit.path.string)
    }
  }

  @Test("A directory that only looks like a placed one counts for nothing [6]")
  func pretended() throws {
    try withSandbox { sandbox in
      let own = try sandbox.makeCgroup("a.service/sallyport-web-1")
      let child = try sandbox.start(["sleep", "60"], cgroup: own)
      let placed = try Placer(root: sandbox.cgroup).place(child.handle, tag: tag("web"))
      #expect(placed.wasMoved && placed.cgroup.path.string == "\(own.path)/sallyport-web-\(child.handle.id)")
    }
  }

  @Test("A process that is gone, elsewhere, or in a threaded cgroup is told with the remedy, and nothing is left")
  func refusals() throws {
    try withSandbox { sandbox in
      let placer = Placer(root: try sandbox.makeCgroup("watched"))
      let elsewhere = try sandbox.start(["sleep", "60"], cgroup: try sandbox.makeCgroup("elsewhere"))
      let error = #expect(throws: KernelError.self) { try placer.place(elsewhere.handle, tag: tag("web")) }
      #expect(error?.remedy?.contains("enforced at and below") == true)
      let gone = try sandbox.start(["true"], cgroup: try sandbox.makeCgroup("watched/a"))
      _ = try gone.wait()
      #expect(throws: KernelError.self) { try placer.place(gone.handle, tag: tag("web")) }
      #expect(try sandbox.makeCgroup("watched/a").childNames().isEmpty)
    }
    try withSandbox { sandbox in
      let parent = try sandbox.makeCgroup("a")
      let child = try sandbox.start(["sleep", "60"], cgroup: parent)
      // A threaded child makes its parent the root of a threaded domain: domains below it are invalid.
      try parent.create("t").makeThreaded()
      let error = #expect(throws: KernelError.self) {
        try Placer(root: sandbox.cgroup).place(child.handle, tag: tag("web"))
      }
      #expect(error?.remedy?.contains("threaded") == true, "\(String(describing: error))")
      #expect(try parent.childNames().map(\.string) == ["t"])
    }
  }

  @Test("Processes that run already are placed by a look, also while they fork [8]")
  func running() throws {
    try withSandbox { sandbox in
      let unit = try sandbox.makeCgroup("a.service")
      // Each lives long enough to be seen by some look, and starts others meanwhile.
      let child = try sandbox.start(
        ["sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; wait"], cgroup: unit)
      let sleep = try #require(Sandbox.find("sleep").flatMap { FileIdentity.resolved($0.string) }?.description)
      let tag = try tag("web")
      var placed = 0
      for _ in 0..<200 where placed < 40 {
        let pass = Placer(root: sandbox.cgroup).placeAll(in: unit, ProcessReader()) {
          $0.executable == sleep ? tag : nil
        }
        #expect(pass.faults == [])
        placed += pass.placed.count
      }
      #expect(placed == 40)
      let left = try unit.processes()
      #expect(left == [child.handle.id])
      #expect(try unit.childNames().count == 40)
    }
  }

  @Test("The names of cgroups are plain, whatever the rule is called")
  func names() throws {
    try withSandbox { sandbox in
      let child = try sandbox.start(["sleep", "60"], cgroup: try sandbox.makeCgroup("a"))
      var tag = try tag("web")
      tag.name = "team/web \u{e4}"
      let placed = try Placer(root: sandbox.cgroup).place(child.handle, tag: tag)
      #expect(placed.cgroup.path.lastComponent?.string == "sallyport-team_web___-\(child.handle.id)")
      #expect(try !Placer(root: sandbox.cgroup).place(child.handle, tag: tag).wasMoved)
    }
  }
}
