// Are programs, firewalls and container engines of others seen, named and left alone?
import BPF
import Kernel
import Preflight
import SystemPackage
import TestSupport
import Testing

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .bpf, .cgroups, .networkNamespaces)) struct NeighbourTests {
    // MARK: Programs on cgroups

    @Test(.requires(.cgroups)) func programsOfOthersAreFoundAmongManyCgroups() async throws {
      try await withSandbox { sandbox in
        let place = try #require(sandbox.cgroup.hierarchy.location(of: sandbox.cgroup.path))
        func crowd(_ program: String) async throws {
          let words = "cd '\(place)' && seq -f crowd-%.0f 10000 | xargs \(program)"
          #expect(try await Command.output(["sh", "-c", words]).status == 0)
        }
        try await crowd("mkdir")
        let cgroup = try sandbox.makeCgroup("neighbour")
        let program = try BPFProgram.load(
          .cgroupSKB, attach: .cgroupEgress, name: "sd_like", instructions: [.move(0, 1), .exit])
        let link = try BPFLink.attach(program, cgroup: cgroup.descriptor, type: .cgroupEgress)
        var settings = SurveySettings()
        settings.only = "neighbour.cgroup-programs"
        settings.limit = .seconds(100)
        let finding = try await Command.survey(settings).finding
        #expect(finding.outcome == .pass && finding.found.contains("systemd"), "\(finding)")
        #expect(finding.details.contains("\(cgroup.path) cgroup_inet_egress multi: sd_like"), "\(finding.details)")
        // Far too short for all of them: what was not looked at is no pass.
        settings.limit = .milliseconds(100)
        let begin = ContinuousClock.now
        let hurried = try await Command.survey(settings).finding
        #expect(hurried.outcome == .unknown && hurried.remedy.contains("--timeout"), "\(hurried)")
        #expect(ContinuousClock.now - begin < .seconds(5))
        settings.limit = .seconds(100)
        _ = consume link
        #expect(try await Command.survey(settings).finding.details.allSatisfy { !$0.contains("sd_like") })
        try await crowd("rmdir")
      }
    }

    // MARK: Firewalls

    @Test func firewallsOfOthersAreNamedAndLeftAlone() async throws {
      try await withSandbox { sandbox in
        let namespace = try sandbox.makeNamespace()
        try sandbox.command(
          [
            "sh", "-ec",
            """
            iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -N f2b-sshd
            nft add table inet firewalld; nft add chain inet firewalld filter_INPUT
            """,
          ], namespace: namespace)
        let rules = ["sh", "-c", "nft list ruleset"]
        let before = try await Command.output(rules, in: namespace)
        let run = try await Command.preflight(in: namespace)
        let check = try run.document["neighbour.firewalls"]
        #expect(check.outcome == "pass" && check.found == "Docker, fail2ban, firewalld: we coexist", "\(check)")
        #expect(try await Command.output(rules, in: namespace) == before)
      }
    }

    // MARK: Engines

    /// Podman with a bridge of its own in this network namespace, and a container with a port that is forwarded.
    ///
    /// All of it is on file systems that go with these mounts; $cgroup is below the top of each hierarchy.
    private static let podman = """
      mount -t tmpfs tmpfs /mnt; mount -t tmpfs tmpfs /run; mkdir -p /run/lock /run/netns
      mkdir -p /mnt/cni /mnt/leases /mnt/rootfs/bin /mnt/tmp /mnt/upper /mnt/work
      mount -t overlay -o lowerdir=/var/lib,upperdir=/mnt/upper,workdir=/mnt/work overlay /var/lib
      cp "$(command -v busybox)" /mnt/rootfs/bin/sleep
      tar -C /mnt/rootfs -cf /mnt/rootfs.tar .
      # Without limits: root may lack CAP_SYS_RESOURCE.
      cat > /mnt/runtime <<'END'
      #!/bin/sh
      previous=
      for word; do
        case $previous in --bundle | -b) sed -i 's/"rlimits":\\[[^]]*\\]/"rlimits":[]/' "$word/config.json" ;; esac
        previous=$word
      done
      exec runc "$@"
      END
      chmod +x /mnt/runtime
      cat > /mnt/containers.conf <<END
      [network]
      network_backend = "cni"
      cni_plugin_dirs = ["/usr/lib/cni"]
      network_config_dir = "/mnt/cni"
      [engine]
      cgroup_manager = "cgroupfs"
      runtime = "test"
      events_logger = "file"
      [engine.runtimes]
      test = ["/mnt/runtime"]
      END
      printf '[storage]\\ndriver = "vfs"\\ngraphroot = "/mnt/graph"\\nrunroot = "/mnt/runroot"\\n' > /mnt/storage.conf
      export CONTAINERS_CONF=/mnt/containers.conf CONTAINERS_STORAGE_CONF=/mnt/storage.conf HOME=/mnt
      {
        podman --tmpdir /mnt/tmp import /mnt/rootfs.tar localhost/beside:1
        podman --tmpdir /mnt/tmp network create beside
        podman --tmpdir /mnt/tmp run -d --network beside -p 8080:80 --cgroup-parent "/$cgroup" localhost/beside:1 sleep 600
      } > /mnt/log 2>&1 || { cat /mnt/log >&2; exit 1; }

      """

    @Test(
      .requires(.program("podman"), .program("runc"), .program("busybox")))
    func aContainerEngineBesideUsIsNamed() async throws {
      let name = "sallyport-preflight-podman-\(ProcessID.current)"
      try await withSandbox { sandbox in
        let namespace = try sandbox.makeNamespace()
        let run = try await Command.preflight(after: "cgroup=\(name)\n" + Self.podman, in: namespace)
        let check = try run.document["neighbour.firewalls"]
        #expect(check.outcome == "pass" && check.found.contains("a CNI plugin"), "\(check)")
        #expect(check.found.hasSuffix(": we coexist") && check.meaning.contains("every one of them"), "\(check)")
        #expect(try run.document["neighbour.cgroup-programs"].outcome == "pass")
      }
      // The container went with its pid namespace, a moment later; its cgroups are in every hierarchy.
      let clean = """
        for try in $(seq 50); do
          for left in /sys/fs/cgroup/*/\(name) /sys/fs/cgroup/\(name); do
            [ ! -d "$left" ] || find "$left" -depth -type d -exec rmdir {} + 2>/dev/null || true
          done
          [ -n "$(find /sys/fs/cgroup -maxdepth 2 -name \(name))" ] || exit 0
          sleep 0.1
        done
        exit 1
        """
      #expect(try await Command.output(["sh", "-c", clean]).status == 0, "cgroups are left")
    }
  }
}
