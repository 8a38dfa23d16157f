// Does --fix do what a dry run says, no more and no less, and does what was found then pass?
import Kernel
import TestSupport
import Testing

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .bpf, .networkNamespaces)) struct RepairTests {
    /// Four things that can be repaired, planted where this namespace of mounts alone sees them.
    private static let faults = """
      mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work
      mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /etc
      mkdir -p /etc/systemd/system
      while umount /sys/fs/bpf 2>/dev/null; do :; done
      for path in net/core/bpf_jit_enable kernel/unprivileged_bpf_disabled; do
        echo 0 > "/mnt/${path##*/}"; mount --bind "/mnt/${path##*/}" "/proc/sys/$path"
      done
      ulimit -n 1024
      state() {
        echo "@$1"
        awk '$5 == "/sys/fs/bpf" {for (i = 7; i < NF; i++) if ($i == "-") print $(i + 1)}' /proc/self/mountinfo
        cat /proc/sys/net/core/bpf_jit_enable /proc/sys/kernel/unprivileged_bpf_disabled
        cat /etc/systemd/system/sallyport.service.d/50-limits.conf 2>/dev/null || true
      }

      """

    /// The lines between `@name` and the next line with an @.
    private func part(_ name: String, _ text: String) -> [Substring] {
      let lines = text.split(separator: "\n").drop { $0 != "@\(name)" }.dropFirst()
      return Array(lines.prefix { !$0.hasPrefix("@") })
    }

    @Test func aDryRunSaysWhatFixThenDoes() async throws {
      let preflight = "'\(Product.sallyport)' preflight --fix"
      let said = try await Command.output(
        Command.apart(
          Self.faults + """
            echo @would; \(preflight) --dry-run
            state between
            echo @did; \(preflight) 2>&1 >/mnt/after || echo "status $?"
            state after
            echo @again; \(preflight) --dry-run 2>&1 || true
            """) + ["true"])
      let planned = part("would", said.output).compactMap { command($0, after: "would run: ") }
      let done = part("did", said.output).compactMap { command($0, after: "sallyport: done: ") }
      #expect(planned == done, "\(said)")
      #expect(
        Set(planned) == [
          "mount -t bpf bpf /sys/fs/bpf", "sysctl -w net.core.bpf_jit_enable=1",
          "sysctl -w kernel.unprivileged_bpf_disabled=1",
          "printf '[Service]\\nLimitNOFILE=65536\\n' > /etc/systemd/system/sallyport.service.d/50-limits.conf"
            + " && systemctl daemon-reload",
        ], "\(planned)")
      #expect(part("between", said.output) == ["0", "0"], "a dry run changes nothing: \(said.output)")
      #expect(part("after", said.output) == ["bpf", "1", "1", "[Service]", "LimitNOFILE=65536"], "\(said.output)")
      #expect(!part("did", said.output).contains { $0.contains("not done") }, "\(said.output)")
      #expect(part("again", said.output).contains { $0.contains("nothing of what was found can be repaired") })
    }

    private func command(_ line: Substring, after prefix: String) -> String? {
      guard line.hasPrefix(prefix) else { return nil }
      let rest = line.dropFirst(prefix.count)
      return String(rest.firstRange(of: "   # ").map { rest[..<$0.lowerBound] } ?? rest)
    }

    @Test func whatWasRepairedIsFoundToBeWell() async throws {
      let before = try await Command.preflight(after: Self.faults)
      let names = ["host.bpffs", "host.jit", "host.unprivileged-bpf", "host.limits"]
      #expect(try names.map { try before.document[$0].outcome } == ["fail", "warn", "warn", "fail"])
      #expect(try names.map { try before.document[$0].fixes.count } == [1, 1, 1, 1])
      #expect(before.said.status == 1)
      let after = try await Command.preflight(["--fix"], after: Self.faults)
      // The unit's limits are not those of this process.
      #expect(try names.map { try after.document[$0].outcome } == ["pass", "pass", "pass", "warn"])
      #expect([0, 5].contains(after.said.status), "\(after.document.summary)")
    }

    @Test func aRepairThatFailsIsToldAndTheOthersAreDone() async throws {
      let run = try await Command.preflight(
        ["--fix"], after: Self.faults + "mount -o remount,bind,ro /proc/sys/net/core/bpf_jit_enable")
      #expect(run.said.status == 1)
      #expect(run.said.errors.contains("not done: sysctl -w net.core.bpf_jit_enable=1: "), "\(run.said.errors)")
      #expect(try run.document["host.jit"].outcome == "warn")
      #expect(try run.document["host.bpffs"].outcome == "pass")
    }
  }
}
