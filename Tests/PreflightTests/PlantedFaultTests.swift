// Is every fault that is planted on a real host found, with the right remedy, and nothing else said to be wrong?
import BPF
import Kernel
import Preflight
import SystemPackage
import TestSupport
import Testing

/// One after the other: what takes half a second alone takes twenty beside twenty others.
@Suite(.serialized) enum LivePreflightTests {}

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .bpf, .networkNamespaces)) struct PlantedFaultTests {
    // MARK: Privileges

    @Test func asRootEveryCheckHasALineInTime() async throws {
      let begin = ContinuousClock.now
      let run = try await Command.preflight()
      #expect(ContinuousClock.now - begin < .seconds(15))
      #expect(run.document.checks.map(\.name) == Check.all.map(\.name))
      #expect(run.document.datapath == "cgroup", "\(run.document.summary)")
      #expect([0, 5].contains(run.said.status), "\(run.document.summary)")
    }

    @Test func withoutPrivilegesItSaysWhatItCouldNotLookAt() async throws {
      let run = try await Command.preflight(behind: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
      #expect(run.said.status == 1)
      #expect(run.document.checks.count == Check.all.count)
      for check in run.document.checks where check.name.hasPrefix("bpf.") {
        #expect(check.outcome == "unknown" && !check.remedy.isEmpty, "\(check)")
      }
      #expect(run.document.datapath == nil)
      #expect(try run.document["capability.net-admin"].outcome == "fail")
    }

    @Test(arguments: [
      "sys_ptrace", "net_admin", "net_raw", "sys_admin", "sys_module", "dac_read_search",
    ])
    func aCapabilityThatIsDroppedIsNamed(_ name: String) async throws {
      let run = try await Command.preflight(behind: ["setpriv", "--bounding-set=-\(name)"])
      for check in run.document.checks where check.name.hasPrefix("capability.") {
        let word = check.name.dropFirst("capability.".count).split(separator: "-").joined(separator: "_")
        // This machine's root may lack others.
        let isHeld = try await Self.held.contains(word)
        #expect((check.outcome == "pass") == (isHeld && word != name), "\(check)")
        if word == name { #expect(check.remedy.contains("CapabilityBoundingSet="), "\(check)") }
      }
    }

    /// The capabilities that this process has, as words of setpriv.
    private static var held: Set<String> {
      get async throws {
        let sets = try CapabilitySets.current()
        return Set(
          Capability.all.filter { sets.effective >> $0.rawValue & 1 == 1 }
            .map { $0.description.dropFirst(4).lowercased() })
      }
    }

    @Test func anAgentRefusesInTheSameWords() async throws {
      let behind = ["setpriv", "--bounding-set=-net_admin"]
      let found = try await Command.preflight(behind: behind).document["capability.net-admin"]
      let agent = try await Command.output(behind + [Command.executable, "run", "--cgroup", "/nowhere"])
      #expect(agent.status == 4)
      #expect(agent.errors.contains("CAP_NET_ADMIN: \(found.found) (capability.net-admin)"), "\(agent.errors)")
      #expect(agent.errors.contains(found.remedy), "\(agent.errors)")
    }

    // MARK: Mounts

    @Test func hiddenCgroupsAreMissed() async throws {
      let run = try await Command.preflight(after: "umount -l /sys/fs/cgroup")
      let check = try run.document["host.cgroups"]
      #expect(check.outcome == "fail" && check.commands == ["mount -t cgroup2 none /sys/fs/cgroup"], "\(check)")
      // What the kernel can do does not depend on what is mounted.
      #expect(try run.document["bpf.hook-cgroup_inet_egress"].outcome == "pass")
      #expect(run.said.status == 1)
    }

    @Test(.requires(.bothVersions)) func aHostOfVersion1AloneIsTriedInAMountOfItsOwn() async throws {
      let run = try await Command.preflight(
        after: """
          for point in $(awk '{for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") print $5}' /proc/self/mountinfo)
          do umount "$point"; done
          """)
      let check = try run.document["host.cgroups"]
      #expect(check.outcome == "warn" && check.found.hasPrefix("version 1 alone"), "\(check)")
      #expect(try run.document["bpf.hook-cgroup_inet_egress"].outcome == "pass")
      #expect(run.document.datapath == "cgroup", "\(run.document.summary)")
    }

    @Test func aMissingBPFFileSystemIsMountedByFix() async throws {
      let hide = "while umount /sys/fs/bpf 2>/dev/null; do :; done"
      let before = try await Command.preflight(after: hide)
      let check = try before.document["host.bpffs"]
      #expect(check.outcome == "fail" && check.fixes == ["mount -t bpf bpf /sys/fs/bpf"], "\(check)")
      let dry = try await Command.output([
        "unshare", "-m", "--propagation", "private", "sh", "-c",
        "\(hide)\n'\(Command.executable)' preflight --fix --dry-run\nawk '$5 == \"/sys/fs/bpf\"' /proc/self/mountinfo",
      ])
      #expect(dry.output.contains("would run: mount -t bpf bpf /sys/fs/bpf"), "\(dry)")
      #expect(!dry.output.contains(" - bpf "), "a dry run mounts nothing")
      let after = try await Command.preflight(["--fix"], after: hide)
      #expect(try after.document["host.bpffs"].outcome == "pass")
      #expect(after.said.errors.contains("done: mount -t bpf bpf /sys/fs/bpf"), "\(after.said.errors)")
    }

    @Test func aHiddenProcIsToldAndNothingIsGuessed() async throws {
      let run = try await Command.preflight(after: "while umount -l /proc 2>/dev/null; do :; done")
      #expect(try run.document["host.proc"].outcome == "fail")
      for name in ["host.memory", "host.cgroups", "host.bpffs", "host.limits"] {
        #expect(try run.document[name].outcome == "unknown", "\(name)")
      }
    }

    @Test func hidepidIsSeenWhereItHides() async throws {
      let hide = "mount -t proc -o hidepid=2 proc /proc\nset -- setpriv --bounding-set=-sys_ptrace \"$@\""
      let check = try await Command.preflight(after: hide).document["host.proc"]
      #expect(check.outcome == "warn" && check.found.contains("hidepid="), "\(check)")
    }

    @Test func aBareRootDirectoryIsNoReasonToCrash() async throws {
      let executable = FilePath(Command.executable)
      let run = try await Command.preflight(
        after: """
          bare=$(mktemp -d); mount -t tmpfs tmpfs "$bare"
          for d in usr lib lib64 opt bin; do
            if [ -e "/$d" ]; then mkdir "$bare/$d"; mount --rbind "/$d" "$bare/$d"; fi
          done
          mkdir -p "$bare/product"; mount --bind '\(executable.removingLastComponent())' "$bare/product"
          shift; set -- chroot "$bare" /product/sallyport "$@"
          """)
      #expect(run.document.checks.count == Check.all.count)
      #expect(try run.document["host.proc"].outcome == "fail")
      #expect(try run.document["host.memory"].outcome == "unknown")
      #expect(try run.document["capability.net-admin"].outcome == "pass")
    }

    // MARK: Limits

    @Test func oneProcessorIsNotEnough() async throws {
      let run = try await Command.preflight(behind: ["taskset", "-c", "0"])
      let check = try run.document["host.cpus"]
      #expect(check.outcome == "fail" && check.remedy.contains("2 CPUs"), "\(check)")
      #expect(run.said.status == 1)
    }

    @Test func aCgroupOfOneGigabyteAndOneProcessorIsNotEnough() async throws {
      let place = try LimitedCgroup()
      defer { place.remove() }
      let enter = place.directories.map { "echo $$ > \($0)/cgroup.procs" }.joined(separator: "\n")
      let run = try await Command.preflight(behind: ["sh", "-c", "set -e\n\(enter)\nexec \"$@\"", "sh"])
      let memory = try run.document["host.memory"]
      #expect(memory.outcome == "fail" && memory.remedy.hasPrefix("raise \(place.directories[0])"), "\(memory)")
      let cpus = try run.document["host.cpus"]
      #expect(cpus.outcome == "fail" && cpus.found.contains("allows 1"), "\(cpus)")
    }

    // MARK: iptables

    @Test func anIptablesWithoutXtBPFIsToldFromAKernelWithoutIt() async throws {
      let library = try await Command.output([
        "sh", "-c",
        """
        directory=$(mktemp -d)
        for file in /usr/lib/*/xtables/*.so /usr/lib/xtables/*.so /usr/lib64/xtables/*.so; do
          case "$file" in *libxt_bpf.so | *'*'*) ;; *) ln -s "$file" "$directory/" ;; esac
        done
        echo "$directory"
        """,
      ])
      let directory = String(library.output.prefix { $0 != "\n" })
      var settings = SurveySettings()
      settings.only = "module.xt_bpf"
      settings.iptablesEnvironment = ["XTABLES_LIBDIR=\(directory)"]
      let row = try await survey(settings)
      #expect(row.finding.outcome == .fail && row.finding.found.contains("libxt_bpf.so is missing"), "\(row.finding)")
      #expect(row.finding.remedy.contains("install the package iptables whole"), "\(row.finding)")
      settings.only = "module.xt_limit"
      #expect(try await survey(settings).finding.outcome == .pass)
      _ = try await Command.output(["rm", "-rf", directory])
    }

    private func survey(_ settings: SurveySettings) async throws -> Survey.Row {
      try await withCheckedThrowingContinuation { continuation in
        do throws(KernelError) {
          _ = try DedicatedThread.start("survey") {
            continuation.resume(
              with: Result { try #require(Survey.of(.current(), settings).rows.first) })
          }
        } catch {
          continuation.resume(throwing: error)
        }
      }
    }

    // MARK: Neighbours

    @Test(.requires(.cgroups)) func programsOfOthersAreFoundAmongManyCgroups() async throws {
      try await withSandbox { sandbox in
        for number in 0..<2000 { _ = try sandbox.makeCgroup("crowd-\(number)") }
        let cgroup = try sandbox.makeCgroup("neighbour")
        let program = try BPFProgram.load(
          .cgroupSKB, attach: .cgroupEgress, name: "sd_like", instructions: [.move(0, 1), .exit])
        let link = try BPFLink.attach(program, cgroup: cgroup.descriptor, type: .cgroupEgress)
        var settings = SurveySettings()
        settings.only = "neighbour.cgroup-programs"
        let finding = try await survey(settings).finding
        #expect(finding.outcome == .pass && finding.found.contains("systemd"), "\(finding)")
        #expect(finding.details.contains("\(cgroup.path) cgroup_inet_egress multi: sd_like"), "\(finding.details)")
        _ = consume link
        #expect(try await survey(settings).finding.details.allSatisfy { !$0.contains("sd_like") })
      }
    }
  }

}

/// A cgroup of the test's own with 1 GiB and one CPU, in whichever version has the controllers.
struct LimitedCgroup {
  /// That of memory first.
  let directories: [String]

  init() throws {
    let mountinfo = try readKernelBytes("/proc/self/mountinfo")
    let name = "sallyport-preflight-test-\(ProcessID.current)"
    let older = CgroupV1Mount.parse(mountinfo: mountinfo)
    var made: [String] = []
    if let memory = older.first(where: { $0.names.contains("memory") }),
      let cpu = older.first(where: { $0.names.contains("cpu") })
    {
      made = [memory, cpu].map { "\($0.mountPoint)/\(name)" }
      for directory in made { try makeDirectory(directory, mode: 0o755, mayExist: true) }
      try writeKernelFile(FilePath(made[0]).appending("memory.limit_in_bytes"), "1073741824")
      try writeKernelFile(FilePath(made[1]).appending("cpu.cfs_quota_us"), "100000")
    } else {
      let root = try CgroupHierarchy.find().mount.mountPoint
      try writeKernelFile(root.appending("cgroup.subtree_control"), "+cpu +memory")
      made = ["\(root)/\(name)"]
      try makeDirectory(made[0], mode: 0o755, mayExist: true)
      try writeKernelFile(FilePath(made[0]).appending("memory.max"), "1073741824")
      try writeKernelFile(FilePath(made[0]).appending("cpu.max"), "100000 100000")
    }
    directories = made
  }

  func remove() { for directory in directories { try? removeDirectory(directory) } }
}
