// Is it seen whatever takes the place of a policy path, by looking alone?

import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite struct PolicyTraceTests {
  private static func write(_ path: String, _ text: String) throws {
    let opened = unsafe fopen(path, "w")
    let file = try unsafe #require(opened)
    _ = unsafe fputs(text, file)
    _ = unsafe fclose(file)
  }

  private static func link(_ target: String, _ path: String) { #expect(unsafe symlink(target, path) == 0) }

  /// A way to swap what a path leads to: how it is laid out, what is followed, and the swap.
  struct Way: Sendable, CustomTestStringConvertible {
    let name: String
    let path: String
    let isElsewhere: Bool
    let swap: @Sendable (String) throws -> Void
    var testDescription: String { name }
  }

  static let ways = [
    Way(name: "a link to a directory leads elsewhere", path: "current", isElsewhere: true) { root in
      link("rev2", "\(root)/next")
      try move("\(root)/next", to: "\(root)/current")
    },
    Way(name: "a directory is renamed, another takes its place", path: "rev1", isElsewhere: true) { root in
      try move("\(root)/rev1", to: "\(root)/old")
      try move("\(root)/rev2", to: "\(root)/rev1")
    },
    Way(name: "a directory is removed and made again", path: "rev2", isElsewhere: true) { root in
      let before = try #require(FileIdentity.at("\(root)/rev2"))
      // Held, so that its inode's number is not given away again.
      let held = try OwnedDescriptor.open(FilePath("\(root)/rev2"), flags: O_RDONLY)
      try removeFile("\(root)/rev2/p.yaml")
      try removeDirectory("\(root)/rev2")
      try makeDirectory("\(root)/rev2")
      try write("\(root)/rev2/p.yaml", "c")
      #expect(FileIdentity.at("\(root)/rev2")?.isSameFile(as: before) == false)
      withExtendedLifetime(held) {}
    },
    Way(name: "a link to a file leads elsewhere", path: "links", isElsewhere: false) { root in
      link("../rev2/p.yaml", "\(root)/next")
      try move("\(root)/next", to: "\(root)/links/p.yaml")
    },
    Way(name: "the file behind a link is written", path: "links", isElsewhere: false) { root in
      try write("\(root)/rev1/p.yaml", "longer than before")
    },
    Way(name: "the directory behind links is swapped, as a ConfigMap's is", path: "config", isElsewhere: false) {
      root in
      link("rev2", "\(root)/config/..next")
      try move("\(root)/config/..next", to: "\(root)/config/..data")
    },
    Way(name: "a hard link is written through its other name", path: "hard", isElsewhere: false) { root in
      try write("\(root)/other.yaml", "longer than before")
    },
    Way(name: "a subdirectory is made", path: "rev1", isElsewhere: false) { root in
      try makeDirectory("\(root)/rev1/more")
    },
    Way(name: "a file that is followed by a link is swapped", path: "file.yaml", isElsewhere: false) { root in
      link("rev2/p.yaml", "\(root)/next")
      try move("\(root)/next", to: "\(root)/file.yaml")
    },
    Way(name: "it is gone", path: "rev1", isElsewhere: true) { root in try move("\(root)/rev1", to: "\(root)/gone") },
  ]

  @Test("every way to swap a path is seen", arguments: ways)
  func swaps(_ way: Way) throws {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let root = directory.path
    for name in ["rev1", "rev2", "links", "config", "config/rev1", "config/rev2", "hard"] {
      try makeDirectory("\(root)/\(name)")
    }
    for (name, text) in [("rev1", "a"), ("rev2", "b"), ("config/rev1", "a"), ("config/rev2", "b")] {
      try Self.write("\(root)/\(name)/p.yaml", text)
    }
    try Self.write("\(root)/other.yaml", "a")
    #expect(unsafe Glibc.link("\(root)/other.yaml", "\(root)/hard/p.yaml") == 0)
    Self.link("rev1", "\(root)/current")
    Self.link("../rev1/p.yaml", "\(root)/links/p.yaml")
    Self.link("rev1", "\(root)/config/..data")
    Self.link("..data/p.yaml", "\(root)/config/p.yaml")
    Self.link("rev1/p.yaml", "\(root)/file.yaml")
    let followed = PolicyDirectory("\(root)/\(way.path)")
    let before = followed.trace()
    #expect(before.isThere && before.isSame(as: followed.trace()))
    try way.swap(root)
    let after = followed.trace()
    #expect(!after.isSame(as: before))
    #expect(after.isInSameDirectory(as: before) != way.isElsewhere)
  }

  @Test("what inotify tells of is left to it, and looked at where it cannot tell")
  func plainFiles() throws {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    try Self.write("\(directory.path)/p.yaml", "a")
    let followed = PolicyDirectory(directory.path)
    let (before, everything) = (followed.trace(), followed.trace(everything: true))
    try Self.write("\(directory.path)/p.yaml", "longer than before")
    #expect(followed.trace().isSame(as: before))
    #expect(!followed.trace(everything: true).isSame(as: everything))
  }

  @Test("what is not read is said: subdirectories, other names, nothing at all")
  func notes() throws {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let policy = PolicyDirectory(directory.path)
    func notes() throws -> [String] { try policy.notes(of: try policy.read()) }
    #expect(
      try notes() == ["\(directory.path): holds no documents: the defaults decide, and they refuse what is labelled"])
    try Self.write("\(directory.path)/a.txt", "")
    #expect(try notes().first?.contains("holds no *.yaml, *.yml or *.json, only a.txt") == true)
    try Self.write("\(directory.path)/A.YAML", "")
    #expect(try policy.read().count == 1)
    #expect(try notes().isEmpty)
    try makeDirectory("\(directory.path)/team-a")
    #expect(try notes().first?.contains("subdirectories are not read: team-a") == true)
  }
}
