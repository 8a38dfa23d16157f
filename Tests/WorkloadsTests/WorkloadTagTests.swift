// Is what is written on a cgroup read back as it was meant, and everything else refused?
import Kernel
import Policy
import Testing
import Workloads

@Suite struct WorkloadTagTests {
  @Test(
    "What is written is read back",
    arguments: ["app=web", "app=web,tier=a\nname=n", "a=b\nmode=observe", "a=b\nname=n\nmode=observe\ntransient=17"])
  func roundTrip(_ text: String) throws {
    #expect(try WorkloadTag(parsing: text).text == text)
  }

  @Test("Plain labels without options are a tag")
  func plain() throws {
    let tag = try WorkloadTag(parsing: "tier=a,app=web\n")
    #expect(tag.labels.description == "app=web,tier=a")
    #expect(tag.mode == .enforce)
    #expect(tag.transientOwner == nil)
  }

  @Test(
    "What is not understood is refused",
    arguments: ["", "app", "app=web\nmode=off", "app=web\ntransient=yes", "app=web\nfuture=1", "sallyport.unit=x"])
  func refused(_ text: String) {
    #expect(throws: WorkloadTagError.self) { try WorkloadTag(parsing: text) }
  }

  @Test("The first name of a user id wins, and broken lines are skipped")
  func userNames() {
    let names = AccountNames.parse("root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbroken\n:x:5:5\nx:x:notanumber:1\n")
    #expect(names[0] == "root")
    #expect(names[5] == nil)
  }
}
