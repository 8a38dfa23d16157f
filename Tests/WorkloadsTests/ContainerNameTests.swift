// Are system containers, which have no labels, known by their names?
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite struct ContainerNameTests {
  @Test("LXC's second cgroup of a name is that container's, unless one is configured with a number of its own")
  func lxc() async throws {
    try await withShortDirectory { directory in
      for name in ["web", "db", "db-2"] {
        try makeDirectory("\(directory)/\(name)")
        try replaceFile(FilePath("\(directory)/\(name)/config"), with: [])
      }
      let source = LXCSource(containers: directory)
      func name(_ path: String) throws -> String? {
        try source.labels(of: CgroupPlace(cgroup: CgroupID(rawValue: 1), path: path))?.labels["container.name"]
      }
      #expect(try name("/lxc.payload.web") == "web")
      #expect(try name("/lxc.payload.web-1") == "web")
      #expect(try name("/lxc.payload.db-2") == "db-2")
      #expect(try name("/lxc.payload.other-1") == "other-1")
      #expect(try name("/lxc.payload.web/init.scope") == nil)
      #expect(try name("/machine.slice/systemd-nspawn@my\\x2dbox.service") == "my-box")
    }
  }
}
