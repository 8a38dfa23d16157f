// Are processes told apart by what they really run, whatever they call themselves or mount?
import Enforcement
import Glibc
import Kernel
import Policy
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite("Traits of processes", .requires(.root, .cgroups))
struct ProcessReaderTests {
  /// A directory with `probe`, a copy of `sleep`, and a cgroup of its own.
  private func withProbe(_ body: (Sandbox, String) async throws -> Void) async throws {
    try await withSandbox { sandbox in
      let directory = try ProbeDirectory()
      defer { directory.remove() }
      try directory.copy("sleep", to: "probe")
      try await body(sandbox, directory.path)
    }
  }

  @Test("A process has its executable's path, its digest, its user and group")
  func plain() async throws {
    try await withProbe { sandbox, path in
      let cgroup = try sandbox.makeCgroup("a")
      let child = try ChildProcess.start(FilePath("\(path)/probe"), ["60"], cgroup: cgroup)
      let traits = try #require(ProcessReader().traits(of: child.handle.id, digest: true))
      #expect(traits.executable == "\(path)/probe")
      #expect(traits.uid == 0 && traits.user == "root" && traits.gid == 0 && traits.group == "root")
      #expect(traits.digest == (try digest(of: "\(path)/probe")))
      #expect(try ProcessReader().traits(in: cgroup, digests: true) == [traits])
      #expect(ProcessReader().traits(of: child.handle.id)?.digest == nil)
      try child.handle.send(signal: SIGKILL)
      _ = try child.wait()
      #expect(ProcessReader().traits(of: child.handle.id) == nil)
    }
  }

  @Test("The real user and group are told, by name where the host knows one")
  func users() async throws {
    try await withProbe { sandbox, path in
      let cgroup = try sandbox.makeCgroup("a")
      let child = try sandbox.start(
        ["setpriv", "--reuid=1", "--regid=65123", "--clear-groups", "\(path)/probe", "60"], cgroup: cgroup)
      try await becomes(child.handle.id, "\(path)/probe")
      let traits = try #require(ProcessReader().traits(of: child.handle.id))
      #expect(traits.uid == 1 && traits.user == "daemon" && traits.gid == 65123 && traits.group == nil)
    }
  }

  @Test("A file over which its process's private mounts lay another path has no path here [9]")
  func privateMount() async throws {
    try await withProbe { sandbox, path in
      let cgroup = try sandbox.makeCgroup("a")
      try makeDirectory("\(path)/evil")
      try sandbox.command(["cp", "\(path)/probe", "\(path)/evil/probe2"])
      try sandbox.command(["cp", "\(path)/probe", "\(path)/trusted"])
      // In its own mount namespace the trusted path is another file.
      let child = try sandbox.start(
        ["unshare", "-m", "sh", "-c", "mount --bind \(path)/evil/probe2 \(path)/trusted && exec \(path)/trusted 60"],
        cgroup: cgroup)
      try await becomes(child.handle.id, "\(path)/trusted")
      #expect(try child.handle.facts().executable?.string == "\(path)/trusted")
      let traits = try #require(ProcessReader().traits(of: child.handle.id, digest: true))
      #expect(traits.executable == nil)
      // The same file is the same program wherever it is mounted: the digest holds.
      #expect(traits.digest == (try digest(of: "\(path)/probe")))
    }
  }

  @Test("A private mount namespace keeps the path while the file is the host's")
  func sharedFile() async throws {
    try await withProbe { sandbox, path in
      let child = try sandbox.start(["unshare", "-m", "\(path)/probe", "60"], cgroup: try sandbox.makeCgroup("a"))
      try await becomes(child.handle.id, "\(path)/probe")
      #expect(ProcessReader().traits(of: child.handle.id)?.executable == "\(path)/probe")
      // Replaced: what the path means there cannot be told from here any more.
      try sandbox.command(["cp", "\(path)/probe", "\(path)/new"])
      try move("\(path)/new", to: "\(path)/probe")
      #expect(ProcessReader().traits(of: child.handle.id)?.executable == nil)
    }
  }

  @Test("A file that was replaced while it runs keeps its path, and its own digest")
  func replaced() async throws {
    try await withProbe { sandbox, path in
      let child = try ChildProcess.start(FilePath("\(path)/probe"), ["60"], cgroup: try sandbox.makeCgroup("a"))
      let old = try digest(of: "\(path)/probe")
      try sandbox.command(["cp", "/bin/true", "\(path)/new"])
      try move("\(path)/new", to: "\(path)/probe")
      let reader = ProcessReader()
      let traits = try #require(reader.traits(of: child.handle.id, digest: true))
      #expect(traits.executable == "\(path)/probe")
      let new = try digest(of: "\(path)/probe")
      #expect(traits.digest == old && new != old)
      try removeFile("\(path)/probe")
      #expect(reader.traits(of: child.handle.id)?.executable == "\(path)/probe")
    }
  }

  @Test("A script has its interpreter's path, and a kernel thread none")
  func others() async throws {
    try await withProbe { sandbox, path in
      try replaceFile(FilePath("\(path)/script"), with: Array("#!\(path)/probe\n".utf8))
      _ = unsafe chmod("\(path)/script", 0o755)
      #expect(
        ProcessReader().traits(of: ProcessID(rawValue: 2), digest: true).map {
          $0.executable == nil && $0.digest == nil
        } ?? true)
    }
  }

  @Test("A file that is written to has a new digest; a large one is told later")
  func digests() async throws {
    try await withProbe { sandbox, path in
      let (learned, continuation) = AsyncStream.makeStream(of: Void.self)
      let reader = ProcessReader(digests: ExecutableDigests { continuation.yield() })
      // Past the size that is read at once, with a tail that the loader ignores.
      let file = try OwnedDescriptor.open(FilePath("\(path)/probe"), flags: O_WRONLY)
      #expect(ftruncate(file.raw, off_t(ExecutableDigests.quickSize) + 4096) == 0)
      _ = consume file
      let child = try ChildProcess.start(FilePath("\(path)/probe"), ["60"], cgroup: try sandbox.makeCgroup("a"))
      #expect(reader.traits(of: child.handle.id, digest: true)?.digest == nil)
      for await _ in learned { break }
      let digest = try digest(of: "\(path)/probe")
      #expect(reader.traits(of: child.handle.id, digest: true)?.digest == digest)
    }
  }

  private func digest(of path: String) throws -> String {
    let pipe = try Pipe.make()
    let child = try ChildProcess.start("/usr/bin/sha256sum", [path], output: pipe.input.raw)
    #expect(try child.wait() == 0)
    var bytes = [UInt8](repeating: 0, count: 64)
    #expect(unsafe read(pipe.output.raw, &bytes, 64) == 64)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Returns once a process runs a file of that name.
  private func becomes(_ id: ProcessID, _ path: String) async throws {
    for _ in 0..<2000 {
      let target = unsafe realpath("/proc/\(id)/exe", nil)
      defer { unsafe free(target) }
      if let facts = try? ProcessHandle.open(id).facts(), facts.executable?.string == path { return }
      try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record("process \(id) did not become \(path)")
  }
}

/// A directory of its own below /tmp with programs that nobody else runs.
struct ProbeDirectory {
  private let directory: TemporaryDirectory
  var path: String { directory.path }

  init() throws {
    directory = try TemporaryDirectory()
    // Other users run what is in it.
    _ = unsafe chmod(path, 0o755)
  }

  /// Copies a program of the system.
  func copy(_ name: String, to new: String) throws {
    let source = try #require(Sandbox.find(name))
    let child = try ChildProcess.start("/bin/cp", [source.string, "\(path)/\(new)"])
    #expect(try child.wait() == 0)
  }

  func remove() {
    _ = try? ChildProcess.start("/bin/rm", ["-rf", path]).wait()
  }
}
