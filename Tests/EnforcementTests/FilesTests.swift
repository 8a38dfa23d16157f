// Are names of pins never shared, and are policy files read whole or not at all?

import FoundationEssentials
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Enforcement

@Suite struct FilesTests {
  @Test("different state directories never share a name of pins, and the name has nothing that bpffs refuses")
  func escape() {
    let paths = [
      "/run/sallyport", "/run/sally-port", "/run/sally/port", "/run/sally.port", "/run/sally%2Fport", "/a+b",
    ]
    let names = paths.map { StateDirectory($0).instance }
    #expect(Set(names).count == paths.count)
    #expect(names[0] == "-run-sallyport")
    #expect(names[3] == "-run-sally%2Eport")
    for name in names { #expect(!name.contains(".") && !name.contains("/") && !name.contains("+")) }
    #expect(StateDirectory("/run/x/").instance == StateDirectory("/run/x").instance)
  }

  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    try withExtendedLifetime(directory) { try body(directory.path) }
  }

  private func write(_ path: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(filePath: path)) }

  @Test("documents are read in the order of their names; hidden files, other names and directories are left out")
  func order() throws {
    try withDirectory { path in
      for name in ["b.yaml", "a.json", "c.yml", ".hidden.yaml", "notes.txt", "a.yaml~"] {
        try write("\(path)/\(name)", Array(name.utf8))
      }
      try FileManager.default.createDirectory(atPath: "\(path)/dir.yaml", withIntermediateDirectories: false)
      let sources = try PolicyDirectory(path).read()
      #expect(sources.map(\.name) == ["\(path)/a.json", "\(path)/b.yaml", "\(path)/c.yml"])
      #expect(sources[0].bytes == Array("a.json".utf8))
      #expect(try PolicyDirectory("\(path)/b.yaml").read().count == 1)
    }
  }

  @Test("a missing directory is an error that says what to do")
  func missing() throws {
    let error = #expect(throws: DatapathError.self) { try PolicyDirectory("/nonexistent/policy").read() }
    #expect(error?.description.contains("/nonexistent/policy") == true)
    #expect(error?.remedy != nil)
  }

  @Test("links that lead to each other are an error, not a hang")
  func loop() throws {
    try withDirectory { path in
      try FileManager.default.createSymbolicLink(atPath: "\(path)/a.yaml", withDestinationPath: "\(path)/b.yaml")
      try FileManager.default.createSymbolicLink(atPath: "\(path)/b.yaml", withDestinationPath: "\(path)/a.yaml")
      let error = #expect(throws: DatapathError.self) { try PolicyDirectory(path).read() }
      #expect(error?.remedy?.contains("symbolic links") == true)
    }
  }

  @Test("a link to its own directory is not entered")
  func selfLink() throws {
    try withDirectory { path in
      try FileManager.default.createSymbolicLink(atPath: "\(path)/again.yaml", withDestinationPath: path)
      try write("\(path)/a.yaml", [])
      #expect(try PolicyDirectory(path).read().map(\.name) == ["\(path)/a.yaml"])
    }
  }

  @Test("a file over 128 MiB is refused with its name")
  func tooLarge() throws {
    try withDirectory { path in
      try write("\(path)/big.yaml", [])
      #expect(unsafe truncate("\(path)/big.yaml", 130 << 20) == 0)
      let error = #expect(throws: DatapathError.self) { try PolicyDirectory(path).read() }
      #expect(error?.description.contains("big.yaml") == true)
      #expect(error?.description.contains("128 MiB") == true)
    }
  }

  @Test("bytes that are not UTF-8 are refused")
  func notText() throws {
    try withDirectory { path in
      try write("\(path)/a.yaml", [0x61, 0xff, 0xfe])
      let error = #expect(throws: DatapathError.self) { try PolicyDirectory(path).read() }
      #expect(error?.description.contains("UTF-8") == true)
    }
  }

  @Test("a device in the place of a document is refused")
  func device() throws {
    try withDirectory { path in
      try FileManager.default.createSymbolicLink(atPath: "\(path)/zero.yaml", withDestinationPath: "/dev/zero")
      let error = #expect(throws: DatapathError.self) { try PolicyDirectory(path).read() }
      #expect(error?.description.contains("no regular file") == true)
    }
  }

  @Test("the state directory has one writer, and the second is told who it is")
  func locked() throws {
    try withDirectory { path in
      let state = StateDirectory(path)
      let first = try state.acquire()
      let error = #expect(throws: DatapathError.self) { try state.acquire() }
      #expect(error?.description.contains("another agent is running") == true)
      #expect(error?.description.contains("\(ProcessInfo.processInfo.processIdentifier)") == true)
      withExtendedLifetime(first) {}
    }
  }
}
