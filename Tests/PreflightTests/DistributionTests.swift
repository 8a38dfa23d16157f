// Has every distribution of the published table, and every successor, the right answer from its own files?
import Preflight
import Testing

/// A host's release files, and what is to be said of it.
struct Release: Sendable, CustomTestStringConvertible {
  let files: [String: String]
  let outcome: Outcome
  let words: String
  var testDescription: String {
    words + " " + (files["/etc/os-release"]?.split(separator: "\n").joined(separator: " ") ?? "")
  }

  init(
    _ id: String, _ version: String, _ outcome: Outcome, _ words: String, name: String? = nil,
    _ more: [String: String] = [:]
  ) {
    let pretty = name ?? "\(id) \(version)"
    files = [
      "/etc/os-release": "NAME=\"\(pretty)\"\nID=\"\(id)\"\nVERSION_ID=\"\(version)\"\nPRETTY_NAME=\"\(pretty)\"\n"
    ]
    .merging(more) { $1 }
    self.outcome = outcome
    self.words = words
  }

  static let published: [Release] =
    [
      Release("amzn", "2", .pass, "in the published table"),
      centOS("7.9.2009", "7", .pass), centOS("8.0.1905", "8", .pass), centOS("8.1.1911", "8", .pass),
      centOS("8.2.2004", "8", .pass), centOS("8.3.2011", "8", .pass),
      debian("9.8", "9", .pass, "in the published table"),
      Release("ol", "7.5", .pass, "in the published table"), Release("ol", "7.6", .pass, "in the published table"),
      Release("sles", "12.5", .pass, "in the published table"),
      Release("ubuntu", "16.04", .pass, "in the published table"),
      Release("ubuntu", "18.04", .pass, "in the published table"),
      Release("ubuntu", "20.04", .pass, "in the published table"),
    ] + (1...9).map { Release("rhel", "7.\($0)", .pass, "in the published table") }
    + (0...3).map { Release("rhel", "8.\($0)", .pass, "in the published table") }

  static let succeeding: [Release] = [
    Release("amzn", "2023", .pass, "succeeds 2"),
    centOS("8.5.2111", "8", .pass, "succeeds"),
    Release("centos", "9", .pass, "succeeds", name: "CentOS Stream 9"),
    Release("centos", "8", .pass, "succeeds", name: "CentOS Stream 8"),
    debian("9.13", "9", .pass, "succeeds 9.8"), debian("12.11", "12", .pass, "succeeds 9.8"),
    debian("13.1", "13", .pass, "succeeds 9.8"),
    Release("ol", "7.9", .pass, "succeeds"), Release("ol", "8.8", .pass, "succeeds"),
    Release("ol", "9.3", .pass, "succeeds"),
    Release("rhel", "8.10", .pass, "succeeds"), Release("rhel", "9.4", .pass, "succeeds"),
    Release("rhel", "10.0", .pass, "succeeds"),
    Release("sles", "15.6", .pass, "succeeds"), Release("sles", "15", .pass, "succeeds"),
    Release("ubuntu", "22.04", .pass, "succeeds"), Release("ubuntu", "24.04", .pass, "succeeds"),
    Release("rocky", "9.4", .pass, "a successor of CentOS"),
    Release("almalinux", "8.9", .pass, "a successor of CentOS"),
    Release("rhcos", "4.16", .pass, "a successor"),
  ]

  static let others: [Release] = [
    Release("rhel", "7.0", .fail, "older"), Release("rhel", "6.10", .fail, "older"),
    centOS("7.8.2003", "7", .fail, "older"), centOS("6.10", "6", .fail, "older"),
    debian("9.7", "9", .fail, "older"), debian("8.11", "8", .fail, "older"),
    Release("ol", "7.4", .fail, "older"), Release("sles", "12.4", .fail, "older"),
    Release("ubuntu", "14.04", .fail, "older"), Release("amzn", "1", .fail, "older"),
    Release("ubuntu", "17.10", .warn, ""), Release("ubuntu", "23.10", .warn, ""),
    Release("fedora", "40", .warn, "", name: "Fedora Linux 40"), Release("alpine", "3.20.1", .warn, ""),
    Release("arch", "", .warn, ""),
  ]

  private static func centOS(
    _ full: String, _ major: String, _ outcome: Outcome, _ words: String = "in the published table"
  ) -> Release {
    Release(
      "centos", major, outcome, words, name: "CentOS Linux \(major)",
      ["/etc/centos-release": "CentOS Linux release \(full) (Core)\n"])
  }

  private static func debian(_ full: String, _ major: String, _ outcome: Outcome, _ words: String) -> Release {
    Release("debian", major, outcome, words, ["/etc/debian_version": "\(full)\n"])
  }
}

@Suite struct DistributionTests {
  @Test(arguments: Release.published + Release.succeeding + Release.others)
  func aReleaseIsJudgedByItsFiles(_ release: Release) throws {
    let base = Tree.whole.filter { !$0.key.hasPrefix("/etc/") }
    let finding = try Tree([:], on: base.merging(release.files) { $1 }).find("host.distribution")
    #expect(finding.outcome == release.outcome, "\(finding)")
    #expect(finding.found.contains(release.words), "\(finding.found)")
  }

  @Test func aRollingReleaseComesAfterEveryOther() throws {
    let tree = try Tree([
      "/etc/os-release": "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\n",
      "/etc/debian_version": "trixie/sid\n",
    ])
    let finding = try tree.find("host.distribution")
    #expect(finding.outcome == .pass && finding.found.contains("rolling"), "\(finding)")
  }

  @Test(arguments: ["", "garbage", "ID=\n", "\u{0}\u{1}\n=\n", "VERSION_ID=12\n"])
  func anOddFileIsUnknownAndNoDistribution(_ text: String) throws {
    let finding = try Tree(["/etc/os-release": text]).find("host.distribution")
    #expect(finding.outcome == .unknown, "\(finding)")
  }

  @Test func noFileIsNoFailure() throws {
    #expect(try Tree(["/etc/os-release": nil]).find("host.distribution").outcome == .warn)
  }

  @Test func windowsHasARowOfItsOwn() throws {
    let finding = try Tree().find("host.windows")
    #expect(finding.outcome == .notApplicable)
    #expect(try Check.named("host.windows").requirement.contains("2012 R2, 2016, 2019"))
  }

  @Test func anOldKernelHasTheRemedyOfItsDistribution() throws {
    let tree = try Tree([
      "/etc/os-release": "ID=amzn\nVERSION_ID=2\nPRETTY_NAME=\"Amazon Linux 2\"\n",
      "/proc/sys/kernel/osrelease": "4.14.336-253.554.amzn2.x86_64\n",
    ])
    let finding = try tree.find("host.kernel")
    #expect(finding.outcome == .warn && finding.commands == ["amazon-linux-extras install kernel-5.15"], "\(finding)")
  }
}
