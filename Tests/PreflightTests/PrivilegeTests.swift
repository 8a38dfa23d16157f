// Is each missing privilege named, and does nothing that a privilege hides count as seen?
import Kernel
import Preflight
import SystemPackage
import TestSupport
import Testing

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .bpf, .networkNamespaces)) struct PrivilegeTests {
    /// What root finds here.
    private static let whole = Task { try await Command.preflight() }

    /// A check that passes for root passes for others or is unknown: what they may not do says nothing of the host.
    private func expectNoGuess(_ run: Run) async throws {
      let whole = try await Self.whole.value.document
      #expect(run.document.checks.count == Check.all.count)
      // That a run is apart from the host is no guess.
      for check in run.document.checks where !check.name.hasPrefix("capability.") && check.name != "host.container" {
        guard try whole[check.name].outcome == "pass" else { continue }
        #expect(["pass", "unknown"].contains(check.outcome), "\(check)")
        #expect(check.outcome == "pass" || !check.found.isEmpty, "\(check)")
      }
    }

    @Test(arguments: [
      ["sys_ptrace"], ["net_admin"], ["net_raw"], ["sys_admin"], ["sys_module"], ["dac_read_search"], ["bpf"],
      ["perfmon"], ["bpf", "sys_admin"], ["perfmon", "sys_admin"],
    ])
    func aCapabilityThatIsDroppedIsNamed(_ dropped: [String]) async throws {
      let set = dropped.map { "-\($0)" }.joined(separator: ",")
      let run = try await Command.preflight(behind: ["setpriv", "--bounding-set=\(set)"])
      for check in run.document.checks where check.name.hasPrefix("capability.") {
        let word = check.name.dropFirst("capability.".count).split(separator: "-").joined(separator: "_")
        // This machine's root may lack others; CAP_SYS_ADMIN stands for two of them.
        let isHeld = try held.contains(word) && !dropped.contains(word)
        let isCovered =
          try ["bpf", "perfmon"].contains(word) && held.contains("sys_admin") && !dropped.contains("sys_admin")
        #expect((check.outcome == "pass") == (isHeld || isCovered), "\(check)")
        guard dropped.contains(word) else { continue }
        if isCovered {
          #expect(check.found == "CAP_SYS_ADMIN stands for it")
        } else {
          #expect(check.remedy.contains("CapabilityBoundingSet="), "\(check)")
        }
      }
      try await expectNoGuess(run)
      // What the kernel takes instead is enough for the programs themselves.
      if dropped == ["bpf"] || dropped == ["perfmon"] {
        #expect(try run.document["bpf.programs-cgroup"].outcome == "pass")
      }
    }

    /// The capabilities that this process has, as words of setpriv.
    private var held: Set<String> {
      get throws {
        let sets = try CapabilitySets.current()
        return Set(
          Capability.all.filter { sets.effective >> $0.rawValue & 1 == 1 }
            .map { $0.description.dropFirst(4).lowercased() })
      }
    }

    @Test func withoutPrivilegesItSaysWhatItCouldNotLookAt() async throws {
      let run = try await Command.preflight(behind: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
      #expect(run.said.status == 1)
      for check in run.document.checks where check.name.hasPrefix("bpf.") {
        #expect(check.outcome == "unknown" && !check.remedy.isEmpty, "\(check)")
      }
      #expect(run.document.datapath == nil)
      #expect(try run.document["capability.net-admin"].outcome == "fail")
      try await expectNoGuess(run)
    }

    @Test func rootOfAUserNamespaceIsNotTheHosts() async throws {
      let run = try await Command.preflight(behind: ["unshare", "--map-root-user"])
      let capability = try run.document["capability.net-admin"]
      #expect(capability.outcome == "fail" && capability.found.hasPrefix("held in a user namespace"), "\(capability)")
      for name in ["bpf.programs-cgroup", "bpf.programs-netfilter", "bpf.maps", "bpf.helpers"] {
        let check = try run.document[name]
        #expect(check.outcome == "unknown" && check.found.contains("user namespace"), "\(check)")
      }
      try await expectNoGuess(run)
    }

    @Test func anyUserMayLook() async throws {
      // The product may lie where root alone comes to; /etc/kubernetes is a directory that root alone may look into.
      let run = try await Command.preflight(
        after: """
          mount -t tmpfs tmpfs /mnt; mkdir -m 755 /mnt/product /mnt/upper /mnt/work
          mount --bind '\(FilePath(Product.sallyport).removingLastComponent())' /mnt/product
          mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /etc
          mkdir -p -m 700 /etc/kubernetes; chmod 700 /etc/kubernetes; chmod 755 /mnt
          shift; set -- setpriv --reuid 65534 --regid 65534 --clear-groups /mnt/product/sallyport "$@"
          """)
      #expect(run.said.status == 1)
      #expect(try run.document["capability.net-admin"].remedy == "run as root")
      // A file may tell of a container; the environment of process 1 is not his to read.
      #expect(try run.document["host.container"].outcome != "pass")
      #expect(try run.document["cluster.cni"].outcome == "unknown")
      #expect(try run.document["module.xt_bpf"].outcome != "fail")
      try await expectNoGuess(run)
    }

    // MARK: Refusals

    /// How each fault is planted before a program, and the check that finds it.
    private static let refusals: [(script: String, check: String, status: Int32)] = [
      ("set -- setpriv --bounding-set=-net_admin \"$@\"", "capability.net-admin", 4),
      ("set -- setpriv --bounding-set=-sys_ptrace \"$@\"", "capability.sys-ptrace", 4),
      ("set -- setpriv --bounding-set=-sys_admin,-bpf \"$@\"", "capability.bpf", 4),
      ("while umount /sys/fs/bpf 2>/dev/null; do :; done", "host.bpffs", 1),
      ("umount -l /sys/fs/cgroup", "host.cgroups", 1),
    ]

    @Test(arguments: refusals.indices) func anAgentRefusesInTheSameWords(_ index: Int) async throws {
      let (script, name, status) = Self.refusals[index]
      let found = try await Command.preflight(after: script).document[name]
      #expect(found.outcome == "fail")
      let agent = try await Command.output(
        Command.apart(script) + [Product.sallyport, "run", "--cgroup", "/nowhere"])
      #expect(agent.status == status, "\(agent)")
      #expect(agent.errors.contains("\(found.requirement): \(found.found) (\(name))"), "\(agent.errors)")
      // Of several the first one's remedy is told.
      if name != "capability.bpf" { #expect(agent.errors.contains(found.remedy), "\(agent.errors)") }
    }
  }
}
