// Do locks, watches, replaced files and owned descriptors keep their promises?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Files and descriptors")
struct FileTests {
  private func withDirectory<T>(_ body: (FilePath) async throws -> T) async throws -> T {
    try await TemporaryDirectory.with { try await body(FilePath($0)) }
  }

  @Test("A second lock is refused and names the holder; it is free when the holder goes")
  func lock() async throws {
    try await withDirectory { directory in
      let path = directory.appending("lock")
      do {
        let held = try FileLock.acquire(path)
        let error = #expect(throws: KernelError.self) { _ = try FileLock.acquire(path) }
        #expect(error?.remedy == "process \(getpid()) holds it")
        _ = consume held
      }
      _ = try FileLock.acquire(path)
    }
  }

  @Test("A replaced file has the new bytes and leaves nothing beside it")
  func replace() async throws {
    try await withDirectory { directory in
      let path = directory.appending("a")
      try replaceFile(path, with: Array("one".utf8))
      try replaceFile(path, with: Array("two".utf8))
      #expect(try readKernelFile(path) == "two")
      #expect(unsafe access(directory.appending("a.new.\(getpid())").string, F_OK) != 0)
      #expect(throws: KernelError.self) { try replaceFile(directory.appending("x/y"), with: []) }
    }
  }

  @Test("A watch tells of a replaced file and ends when it is stopped")
  func watch() async throws {
    try await withDirectory { directory in
      let watch = try FileWatch.start([directory])
      try replaceFile(directory.appending("b"), with: [1])
      for await batch in watch.events where batch.contains(where: { $0.name == "b" && $0.path == directory }) {
        break
      }
      watch.stop()
      for await _ in watch.events {}
      #expect(watch.droppedBatches == 0)
    }
  }

  @Test("A descriptor is closed with its owner, and not when it was given away")
  func descriptor() throws {
    let number: Int32
    do {
      let owned = try OwnedDescriptor.open("/dev/null", flags: O_RDONLY)
      number = owned.release()
    }
    #expect(fcntl(number, F_GETFD) == FD_CLOEXEC)
    _ = OwnedDescriptor(adopting: number)
    let error = #expect(throws: KernelError.self) { _ = try OwnedDescriptor.open("/no/such", flags: O_RDONLY) }
    #expect(error?.description == "open /no/such: No such file or directory")
  }

  @Test("A thread that kept one capability lacks the others, and only that thread", .requires(.root, .bpf))
  func capabilities() throws {
    let before = try Capabilities.current()
    let inside = try runOnFreshThread("limited") { () throws(KernelError) in
      try Capabilities.keepOnly([.netAdmin])
      return try Capabilities.current()
    }
    #expect(inside == Capabilities(effective: 1 << 12))
    #expect(inside.missing([.bpf, .netAdmin]) == [.bpf])
    #expect(try Capabilities.current() == before)
  }

  @Test("A grace period ends, and the clocks go forward")
  func clocks() throws {
    let before = Clock.monotonicNanoseconds()
    try gracePeriod()
    #expect(Clock.monotonicNanoseconds() > before)
    #expect(Clock.bootNanoseconds() >= before)
  }
}
