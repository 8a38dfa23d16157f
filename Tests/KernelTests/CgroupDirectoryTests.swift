// Do we handle real cgroups right? Each test in a subtree of its own.
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Cgroup directories", .requires(.root, .cgroups))
struct CgroupDirectoryTests {
  @Test("A directory knows its id, path and level, and is found by its path")
  func identity() throws {
    try withSandbox { sandbox in
      let leaf = try sandbox.makeCgroup("a/b")
      #expect(leaf.level == 3)
      let again = try CgroupHierarchy.find().directory(at: leaf.path)
      #expect(again.id == leaf.id)
      #expect(try CgroupHierarchy.find().directory(id: leaf.id)?.path == leaf.path)
      try leaf.remove()
      #expect(try CgroupHierarchy.find().directory(id: leaf.id) == nil)
      #expect(leaf.id != sandbox.cgroup.id)
      #expect(try sandbox.cgroup.childNames() == ["a"])
    }
  }

  @Test("Walking visits parents before children")
  func walk() throws {
    try withSandbox { sandbox in
      _ = try sandbox.makeCgroup("a/b")
      _ = try sandbox.makeCgroup("c")
      var seen: [FilePath] = []
      try sandbox.cgroup.walk { seen.append($0.path) }
      #expect(seen.count == 4)
      #expect(seen.first == sandbox.cgroup.path)
    }
  }

  @Test("A child is in its cgroup at once, and its facts say so")
  func spawn() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("job")
      let child = try sandbox.start(["sleep", "60"], cgroup: cgroup)
      let facts = try child.handle.facts()
      #expect(facts.cgroup == CgroupMembership(path: cgroup.path, isDeleted: false))
      #expect(facts.command == "sleep")
      #expect(facts.executable?.lastComponent?.string == "sleep" || facts.executable != nil)
      #expect(facts.user == 0)
      #expect(try cgroup.processes() == [facts.id])
      #expect(try !sandbox.cgroup.isEmpty())
      try cgroup.kill()
      #expect(try child.wait() == 128 + 9)
      let exited = child.handle.hasExited
      #expect(exited)
      #expect(throws: KernelError.self) { try ProcessHandle.open(facts.id).facts() }
      #expect(try sandbox.cgroup.isEmpty())
    }
  }

  @Test("A process is moved by its handle")
  func move() throws {
    try withSandbox { sandbox in
      let first = try sandbox.makeCgroup("first")
      let second = try sandbox.makeCgroup("second")
      let child = try sandbox.start(["sleep", "60"], cgroup: first)
      try child.handle.move(to: second)
      #expect(try first.processes().isEmpty)
      #expect(try second.processes() == [child.handle.id])
      try sandbox.cgroup.kill()
      _ = try child.wait()
    }
  }

  @Test("Removing waits for the last process, and says so when it stays")
  func removal() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("busy")
      let child = try sandbox.start(["sleep", "60"], cgroup: cgroup)
      let error = #expect(throws: KernelError.self) { try cgroup.remove(within: 30) }
      #expect(error?.errno == .resourceBusy)
      try cgroup.kill()
      try cgroup.remove()
      _ = try child.wait()
      try cgroup.remove()
      #expect(try sandbox.cgroup.childNames().isEmpty)
    }
  }

  @Test("Labels stay with the directory until they are removed")
  func labels() throws {
    try withSandbox { sandbox in
      #expect(try sandbox.cgroup.labels() == nil)
      try sandbox.cgroup.setLabels(Array("app=web".utf8))
      let again = try CgroupHierarchy.find().directory(at: sandbox.cgroup.path)
      #expect(try again.labels() == Array("app=web".utf8))
      try again.removeLabels()
      try again.removeLabels()
      #expect(try sandbox.cgroup.labels() == nil)
    }
  }

  @Test("A name that is not UTF-8 can be made, opened and removed")
  func bytes() throws {
    try withSandbox { sandbox in
      let name = try #require(FilePath(bytes: [0x61, 0xff]).lastComponent)
      let made = try sandbox.cgroup.create(name)
      #expect(try sandbox.cgroup.childNames() == [name])
      #expect(try CgroupHierarchy.find().directory(at: made.path).id == made.id)
      try made.remove()
    }
  }

  @Test("A thread enters a threaded cgroup alone and leaves it again")
  func threads() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeThreadedCgroup("t")
      let inside = try sandbox.run(in: cgroup) { try cgroup.threads() == [currentThread()] }
      #expect(inside)
      #expect(try cgroup.threads().isEmpty)
    }
  }

  @Test("A program that is not there is an error that names the step")
  func noProgram() throws {
    let error = #expect(throws: KernelError.self) { _ = try ChildProcess.start("/nowhere/at/all", []) }
    #expect(error?.problem.hasPrefix("start /nowhere/at/all at execve: ") == true)
    #expect(error?.errno == .noSuchFileOrDirectory)
  }
}
