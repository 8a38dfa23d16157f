// The harness itself on this kernel: it measures what enforces, leaves out what does not, and finds what became slower.

import Benchmark
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(.requires(.root, .bpf, .networkNamespaces, .cgroups, .pins), .serialized)
struct HarnessTests {
  private static let own = "sallyport cgroup, 1000 rules"

  /// The program beside the one that runs the tests.
  private static func bench(_ arguments: [String]) throws -> CapturedProcess {
    try CapturedProcess.run(FilePath(Product.path("sallyport-bench")), arguments)
  }

  private static func measure(_ folder: TemporaryDirectory, _ name: String, _ more: [String] = []) throws -> Results {
    let file = "\(folder.path)/\(name).json"
    let said = try bench(
      [
        "run", "--quick", "--sections", "mechanisms", "--contestants", "sallyport cgroup", "--workloads",
        "udp-pingpong",
        "--rounds", "10", "--output", "csv", "--out", file,
      ] + more)
    try #require(said.status == 0, "\(said.errors)")
    return try Results(json: readKernelBytes(FilePath(file)), file: file)
  }

  /// Compiles something that includes the sources of bpf/.
  private static func build(_ fixture: String, _ folder: TemporaryDirectory) throws -> String {
    let tests = FilePath(#filePath).removingLastComponent()
    let object = "\(folder.path)/\(fixture).o"
    let root = tests.removingLastComponent().removingLastComponent()
    let said = try CapturedProcess.run(
      root.appending("scripts/build-bpf"), ["--one", tests.appending("Fixtures/\(fixture).bpf.c").string, object])
    try #require(said.status == 0, "\(said.errors)")
    return object
  }

  @Test func aPlantedSlowdownIsFoundAndItsProgramsAreNamed() throws {
    let folder = try TemporaryDirectory()
    let before = try Self.measure(folder, "before")
    #expect(before.entrants.map(\.name) == ["nothing", "empty programs", Self.own])
    let own = try #require(before.measurement(Self.own, "udp-pingpong", in: Targets.Names.sockets))
    #expect(own.cpu.flatMap { $0 }.count == 10)
    #expect(own.cpu.flatMap { $0 }.allSatisfy { $0 > 500 && $0 < 1_000_000 })
    #expect(before.programs.contains { $0.program == "sp_egress" && (2...4).contains($0.runsPerUnit) })
    #expect(before.disturbance != nil)

    let slow = try Self.measure(folder, "slow", ["--object", try Self.build("slow", folder)])
    let comparison = Comparison(before, slow)
    // What else a busy machine made dearer is for scripts/bench-check to rule out.
    #expect(Set(comparison.suspects).isSuperset(of: ["sp_egress", "sp_ingress"]), "\(comparison.verdict)")
    let said = try Self.bench(["compare", "\(folder.path)/before.json", "\(folder.path)/slow.json"])
    #expect(said.status == 1)
    #expect(said.output.contains("became dearer: sp_"))
    #expect(try Self.bench(["compare", "\(folder.path)/slow.json", "\(folder.path)/slow.json"]).status == 0)
  }

  @Test func programsThatDoNotEnforceAreNotTimed() throws {
    let folder = try TemporaryDirectory()
    let results = try Self.measure(folder, "open", ["--object", try Self.build("open", folder)])
    let reason = try #require(results.entrants.first { $0.name == Self.own }?.leftOut)
    #expect(
      reason == "its check failed before it was measured: the forbidden connection came through, "
        + "the forbidden datagram came through")
    #expect(results.measurement(Self.own, "udp-pingpong", in: Targets.Names.sockets) == nil)
    #expect(results.measurement("nothing", "udp-pingpong", in: Targets.Names.sockets) != nil)
  }

  @Test(arguments: ["/etc/hostname", "/nowhere/slow.bpf.o"])
  func aFileThatIsNoObjectIsRefusedWithItsName(file: String) throws {
    let said = try Self.bench(["run", "--quick", "--sections", "mechanisms", "--object", file])
    #expect(said.status != 0)
    #expect(said.errors.contains(file))
    #expect(said.output.isEmpty)
  }

  @Test(arguments: [
    ["--sizes", "0"], ["--rounds", "0"], ["--cpu", "100000"], ["--processes", "0"], ["--output", "xml"],
  ])
  func badOptionsAreRefusedWithTheirName(options: [String]) throws {
    let said = try Self.bench(["run"] + options)
    #expect(said.status != 0)
    #expect(said.errors.contains(options[0]))
  }
}
