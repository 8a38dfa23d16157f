// What the mirror of version 1 moves, and what it leaves alone: pure.
import SystemPackage
import Testing
import Workloads

@Suite("Plan of the mirror")
struct MirrorPlanTests {
  /// A tree in which the mirror made what begins with m, a rule what begins with p, and others the rest.
  private func destination(_ older: FilePath, _ newer: FilePath, scope: FilePath = "/") -> FilePath? {
    MirrorPlan(scope: scope).destination(for: older, at: newer) { path in
      switch path.lastComponent?.string.first {
      case "m": .mirror
      case "p": .placement
      default: .other
      }
    }
  }

  @Test("A process follows its path of version 1, into directories and out of them")
  func follows() {
    #expect(destination("/m1/m2", "/") == "/m1/m2")
    #expect(destination("/m1/m2", "/m1/m2") == nil)
    #expect(destination("/m1", "/m1/m2") == "/m1")
    #expect(destination("/m3", "/m1/m2") == "/m3")
    #expect(destination("/", "/m1") == "/")
    #expect(destination("/", "/") == nil)
  }

  @Test("Where a rule placed it, it stays, as long as that is below its path of version 1")
  func placed() {
    #expect(destination("/m1", "/m1/placed") == nil)
    #expect(destination("/m2", "/m1/placed") == "/m2")
    #expect(destination("/m1", "/m1/placed/deeper") == nil)
  }

  @Test("Where somebody else put it, it stays in any case")
  func others() {
    #expect(destination("/m1", "/exec-web-7") == nil)
    #expect(destination("/m1", "/m1/exec-web-7") == nil)
    #expect(destination("/m2", "/m1/exec-web-7") == nil)
  }

  @Test("Outside of what is enforced on nothing is mirrored, and what goes there goes to the root")
  func scope() {
    #expect(destination("/m2/m3", "/", scope: "/m1") == nil)
    #expect(destination("/m1/m3", "/", scope: "/m1") == "/m1/m3")
    #expect(destination("/m2", "/m1/m3", scope: "/m1") == "/")
    // A name that only begins alike.
    #expect(destination("/m11", "/", scope: "/m1") == nil)
  }

  @Test("The directories above what is enforced on, and itself, may be anybody's")
  func scopeOfOthers() {
    #expect(destination("/x/y/m1", "/x/y", scope: "/x/y") == "/x/y/m1")
    #expect(destination("/x/y/m1", "/x/y/m2", scope: "/x/y") == "/x/y/m1")
    #expect(destination("/x/y/m1", "/x/z", scope: "/x/y") == nil)
  }
}
