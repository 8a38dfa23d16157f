// Is every fault that is planted on a real host found, with the right remedy, and nothing else said to be wrong?
import Kernel
import Preflight
import SystemPackage
import TestSupport
import Testing

/// One after the other: what takes half a second alone takes twenty beside twenty others.
@Suite(.serialized) enum LivePreflightTests {}

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .bpf, .networkNamespaces)) struct PlantedFaultTests {
    @Test func asRootEveryCheckHasALineInTime() async throws {
      let begin = ContinuousClock.now
      let run = try await Command.preflight()
      #expect(ContinuousClock.now - begin < .seconds(15))
      #expect(run.document.checks.map(\.name) == Check.all.map(\.name))
      #expect(run.document.datapath == "cgroup", "\(run.document.summary)")
      #expect([0, 5].contains(run.said.status), "\(run.document.summary)")
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
      let executable = FilePath(Product.sallyport)
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
      for name in ["host.container", "host.btf", "bpf.programs-cgroup", "bpf.hook-cgroup_inet_egress"] {
        #expect(try run.document[name].outcome == "unknown", "\(name)")
      }
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
      let row = try await Command.survey(settings)
      #expect(row.finding.outcome == .fail && row.finding.found.contains("libxt_bpf.so is missing"), "\(row.finding)")
      #expect(row.finding.remedy.contains("install the package iptables whole"), "\(row.finding)")
      settings.only = "module.xt_limit"
      #expect(try await Command.survey(settings).finding.outcome == .pass)
      _ = try await Command.output(["rm", "-rf", directory])
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
