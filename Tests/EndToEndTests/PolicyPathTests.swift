// Is a policy in force soon whatever takes the place of the path that the agent follows?

import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "The policy path, by the agent", .serialized, .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product))
struct PolicyPathTests {
  /// Documents by which it is told which of them are in force.
  private static func documents(_ name: String) -> String {
    """
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: \(name)}
    spec: {subject: app=none, incoming: []}

    """
  }

  /// Waits until a policy is in force, and says how long that took, in seconds.
  private static func wait(_ bench: AgentBench, _ name: String, _ way: String) throws -> Double {
    let began = Clock.monotonicNanoseconds()
    try eventually("\(way): \(bench.log)", seconds: 20) {
      try bench.ask("policy", "show").output.contains("name: \(name)}")
    }
    return Double(Clock.monotonicNanoseconds() - began) / 1e9
  }

  @Test("links, directories, files behind links and mounts are followed")
  func swaps() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let root = "\(bench.directory)/releases"
      let current = "\(root)/current"
      try makeDirectory(root)
      func make(_ name: String, _ text: String) throws {
        try makeDirectory("\(root)/\(name)")
        try bench.write("releases/\(name)/p.yaml", Self.documents(text))
      }
      func link(_ target: String, _ path: String) throws {
        #expect(unsafe symlink(target, "\(root)/next") == 0)
        try move("\(root)/next", to: path)
      }
      for name in ["rev1", "rev2", "rev3", "rev5"] { try make(name, name) }
      try link("rev1", current)
      let agent = try bench.startAgent(readingFrom: current)
      var took: [(String, Double)] = []
      func expect(_ name: String, _ way: String) throws { took.append((way, try Self.wait(bench, name, way))) }
      try expect("rev1", "at the start")

      try link("rev2", current)
      try expect("rev2", "a link that leads elsewhere")
      try move("\(root)/rev2", to: "\(root)/old")
      try move("\(root)/rev3", to: "\(root)/rev2")
      try expect("rev3", "a directory in the place of another")
      try sandbox.command(["rm", "-r", "\(root)/rev2"])
      try eventually("it is said to be gone: \(bench.log)") {
        try bench.ask("status").output.contains("does not exist")
      }
      try make("rev2", "rev4")
      try expect("rev4", "a directory that is made again")
      #expect(try !bench.ask("status").output.contains("does not exist"))

      // As a ConfigMap has it.
      try removeFile(current)
      try makeDirectory(current)
      try link("../rev5", "\(current)/..data")
      try link("..data/p.yaml", "\(current)/p.yaml")
      try expect("rev5", "a directory in the place of a link")
      try make("rev6", "rev6")
      try link("../rev6", "\(current)/..data")
      try expect("rev6", "a ConfigMap's link")
      try bench.write("releases/rev6/p.yaml", Self.documents("rev7"))
      try expect("rev7", "the file behind links, replaced")
      guard let file = unsafe fopen("\(root)/rev6/p.yaml", "w") else { throw Errno.ioError }
      _ = unsafe fputs(Self.documents("rev8"), file)
      _ = unsafe fclose(file)
      try expect("rev8", "the file behind links, written")

      try make("rev9", "rev9")
      try sandbox.command(["mount", "--bind", "\(root)/rev9", current])
      defer { _ = try? sandbox.command(["umount", current]) }
      try expect("rev9", "a mount over the directory")
      try makeDirectory("\(root)/rev9/more")
      try eventually("the subdirectory is told: \(bench.log)") {
        try bench.status().warnings.contains { $0.contains("subdirectories are not read: more") }
      }
      try sandbox.command(["umount", current])
      try expect("rev8", "a mount that is gone")

      print("followed, seconds until in force:", took.map { "\($0): \($1)" }.joined(separator: "; "))
      // A second is promised; the command that asks, and a machine that does other work, take their time too.
      for (way, seconds) in took { #expect(seconds < 5, "\(way)") }
      try bench.ask("detach")
      #expect(try agent.wait() == 0, "\(bench.log)")
    }
  }
}
