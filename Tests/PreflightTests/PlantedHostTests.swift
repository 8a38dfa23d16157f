// Is what other programs, files and clusters make of a host found in a run of the product itself, and within its time?
import Kernel
import SystemPackage
import TestSupport
import Testing

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .bpf, .networkNamespaces)) struct PlantedHostTests {
    // MARK: Programs that hang

    @Test func anIptablesThatHangsIsNoFindingAboutTheKernel() async throws {
      let begin = ContinuousClock.now
      let run = try await Command.preflight(
        after: """
          mount -t tmpfs tmpfs /mnt
          printf '#!/bin/sh\\nexec sleep 600\\n' > /mnt/hang; chmod 755 /mnt/hang
          for name in nft legacy; do mount --bind /mnt/hang "$(readlink -f /usr/sbin/xtables-$name-multi)"; done
          """)
      #expect(ContinuousClock.now - begin < .seconds(14))
      let module = try run.document["module.xt_bpf"]
      // Where lists of modules tell, they do.
      #expect(["unknown", "pass"].contains(module.outcome), "\(module)")
      #expect(module.outcome == "pass" || module.found.contains("did not end within"), "\(module)")
      let tool = try run.document["tool.iptables"]
      #expect(tool.outcome != "pass", "\(tool)")
      #expect(run.document.datapath == "cgroup", "\(run.document.summary)")
    }

    @Test(arguments: [1, 3]) func theTimeIsKept(_ seconds: Int) async throws {
      let begin = ContinuousClock.now
      let run = try await Command.preflight(["--timeout", "\(seconds)"])
      #expect(ContinuousClock.now - begin < .seconds(seconds + 4))
      // What was given up is unknown, and nothing of it stays.
      for check in run.document.checks where check.found.contains("no answer within") {
        #expect(check.outcome == "unknown", "\(check)")
      }
      let left = try CgroupHierarchy.find().root().childNames().filter { $0.string.hasPrefix("sallyport-preflight-") }
      #expect(left.isEmpty, "\(left)")
    }

    @Test func aLockThatIsHeldIsNoMissingModule() async throws {
      let run = try await Command.preflight(
        after: """
          mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work
          # The other variant takes no lock.
          mount -t overlay -o lowerdir=/usr/sbin,upperdir=/mnt/upper,workdir=/mnt/work overlay /usr/sbin
          rm -f /usr/sbin/*tables-nft* /usr/sbin/xtables-nft-multi
          exec 9> /run/xtables.lock; flock 9
          """)
      let module = try run.document["module.xt_limit"]
      #expect(["unknown", "pass"].contains(module.outcome), "\(module)")
      #expect(module.outcome == "pass" || module.found.contains("the xtables lock is held"), "\(module)")
      #expect(try run.document["tool.iptables"].found.contains("iptables-legacy"))
    }

    // MARK: Files of the host

    @Test func anOldReleaseIsToldAndItsKernelIsTried() async throws {
      let run = try await Command.preflight(
        after: """
          mount -t tmpfs tmpfs /mnt
          printf 'ID="rhel"\\nVERSION_ID="7.0"\\nPRETTY_NAME="Red Hat Enterprise Linux 7.0"\\n' > /mnt/release
          echo 3.10.0-1160.el7.x86_64 > /mnt/kernel
          mount --bind /mnt/release "$(readlink -f /etc/os-release)"
          mount --bind /mnt/kernel /proc/sys/kernel/osrelease
          """)
      let distribution = try run.document["host.distribution"]
      #expect(distribution.outcome == "fail" && distribution.found.contains("older"), "\(distribution)")
      #expect(!distribution.remedy.isEmpty)
      // The version is no finding: what the kernel takes is.
      let kernel = try run.document["host.kernel"]
      #expect(kernel.outcome == "pass" && kernel.found.contains("takes the programs all the same"), "\(kernel)")
      #expect(run.document.datapath == "cgroup" && run.said.status == 1, "\(run.document.summary)")
    }

    @Test(arguments: ["/dev/null", "/bin/true"]) func anOddReleaseFileIsUnknown(_ file: String) async throws {
      let run = try await Command.preflight(after: "mount --bind \(file) \"$(readlink -f /etc/os-release)\"")
      #expect(try run.document["host.distribution"].outcome == "unknown")
    }

    // MARK: Clusters

    @Test func aNodeOfAnUnsupportedClusterIsTold() async throws {
      let run = try await Command.preflight(
        ["--for", "cluster"],
        after: """
          mount -t tmpfs tmpfs /mnt; mkdir /mnt/etc /mnt/lib /mnt/work1 /mnt/work2
          mount -t overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work1 overlay /etc
          mount -t overlay -o lowerdir=/var/lib,upperdir=/mnt/lib,workdir=/mnt/work2 overlay /var/lib
          mkdir -p /var/lib/kubelet /etc/kubernetes
          echo 'KUBELET_KUBEADM_ARGS="--network-plugin=kubenet --v=2"' > /var/lib/kubelet/kubeadm-flags.env
          head -c 300 /dev/zero > /etc/kubernetes/admin.conf
          mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
          printf '#!/bin/sh\\necho Kubernetes v1.15.12\\n' > /usr/local/bin/kubelet; chmod 755 /usr/local/bin/kubelet
          cp /bin/sleep /mnt/pilot-agent
          ISTIO_META_ISTIO_VERSION=1.7.4 /mnt/pilot-agent 600 > /dev/null 2>&1 &
          while [ "$(cat /proc/$!/comm)" != pilot-agent ]; do :; done
          """)
      let expected: [(name: String, outcome: String, found: String, remedy: String)] = [
        ("cluster.kubernetes", "fail", "Kubernetes 1.15.12", "1.16 or later"),
        (
          "cluster.cni", "fail", "kubenet, as /var/lib/kubelet/kubeadm-flags.env says",
          "move the cluster to a CNI plugin"
        ),
        ("cluster.istio", "fail", "Istio 1.7.4", "upgrade Istio to 1.8 or later"),
        ("cluster.kubeconfig", "warn", "/etc/kubernetes/admin.conf: ", "write the file anew"),
      ]
      for row in expected {
        let check = try run.document[row.name]
        #expect(check.outcome == row.outcome && check.found.hasPrefix(row.found), "\(check)")
        #expect(check.remedy.contains(row.remedy), "\(check)")
      }
      #expect(run.said.status == 1)
    }
  }
}
