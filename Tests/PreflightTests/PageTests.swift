// Is docs/PREFLIGHT.md what the checks say of themselves?
import Kernel
import Preflight
import SystemPackage
import Testing

@Suite struct PageTests {
  @Test func thePageIsMadeOfTheChecks() throws {
    var root = FilePath(#filePath)
    for _ in 0..<3 { root.removeLastComponent() }
    let written = try readKernelFile(root.appending("docs/PREFLIGHT.md"))
    #expect(written == PreflightPage.text, "write it anew: sallyport preflight --page > docs/PREFLIGHT.md")
  }

  @Test func everyCheckIsOnThePage() {
    for check in Check.all { #expect(PreflightPage.text.contains("| `\(check.name)` | ")) }
  }
}
