// Is each module found where it is, whatever it is called today, and tried only where that loads nothing?
import Enforcement
import Kernel
import Preflight
import TestSupport
import Testing

@Suite struct ModuleCheckTests {
  /// The published list (product requirements), word for word.
  private static let published = [
    "xt_cgroup", "xt_limit", "xt_multiport", "xt_connmark", "xt_REDIRECT", "xt_string", "xt_HMARK", "xt_LOG", "xt_bpf",
    "xt_state", "xt_set", "nf_nat_redirect", "nf_log_common", "nf_conntrack_ipv6", "nf_log_ipv4", "ip_set",
    "ip_set_bitmap_port", "ip_set_hash_netport", "ip_set_hash_net", "ts_bm", "cls_cgroup", "ip_tables", "iptable_nat",
    "iptable_mangle",
  ]

  @Test(arguments: published) func everyPublishedModuleHasALine(_ name: String) throws {
    let check = try Check.named("module.\(name)")
    #expect(!check.features.isEmpty && !check.purpose.isEmpty)
  }

  private func tried(_ name: String, _ outcome: RuleTrial.Outcome) -> ProbeResults {
    var results = ProbeResults()
    results.rules = .seen([name: outcome])
    return results
  }

  @Test func theListsTellWhereAModuleIs() throws {
    let tree = try Tree(["/proc/modules": "xt_limit 16384 0 - Live 0x0\n"])
    #expect(try tree.find("module.xt_limit").found == "loaded")
    let loadable = try tree.find("module.xt_bpf")
    #expect(loadable.outcome == .pass && loadable.found == "loadable" && loadable.repairs == [.loadModule("xt_bpf")])
    // Renamed in 5.13, and part of the kernel here.
    #expect(try tree.find("module.nf_log_ipv4").found == "built in as nf_log_syslog")
    // Merged, and compressed.
    #expect(try tree.find("module.xt_state").found == "loadable as xt_conntrack")
    let absent = try tree.find("module.xt_HMARK")
    #expect(absent.outcome == .warn && absent.commands == ["apt-get install linux-image-6.1.0-18-amd64"], "\(absent)")
  }

  @Test func whatADatapathNeedsFailsAndTheRestWarns() throws {
    let tree = try Tree(["/lib/modules/6.1.0-18-amd64/modules.dep": "kernel/x.ko:\n"])
    let vital = try tree.find("module.xt_bpf")
    #expect(vital.outcome == .fail && vital.meaning.contains("netfilter datapath"), "\(vital)")
    let other = try tree.find("module.xt_string")
    #expect(other.outcome == .warn && other.meaning.contains("no datapath of Sallyport uses it"))
  }

  @Test func anAttemptCountsMoreThanAnyList() throws {
    let bare = try Tree([
      "/lib/modules/6.1.0-18-amd64/modules.dep": nil, "/lib/modules/6.1.0-18-amd64/modules.builtin": nil,
    ])
    #expect(try bare.find("module.xt_bpf").outcome == .unknown)
    #expect(try bare.find("module.xt_bpf", tried("xt_bpf", .taken(variant: "nft"))).outcome == .pass)
    let refused = RuleTrial.Outcome.refused(reason: "the kernel has no match bpf", remedy: "load the module xt_bpf")
    let finding = try bare.find("module.xt_bpf", tried("xt_bpf", refused))
    #expect(finding.outcome == .fail && finding.found == "the kernel has no match bpf", "\(finding)")
    // Loaded, and yet iptables cannot use it: its own library is missing.
    let loaded = try Tree(["/proc/modules": "xt_bpf 16384 0 - Live 0x0\n"])
    let library = RuleTrial.Outcome.refused(
      reason: "iptables has no match bpf: libxt_bpf.so is missing", remedy: "install the package iptables whole")
    let unusable = try loaded.find("module.xt_bpf", tried("xt_bpf", library))
    #expect(unusable.outcome == .fail && unusable.remedy == "install the package iptables whole", "\(unusable)")
  }

  @Test func aModuleThatMayNotBeLoadedIsNotThere() throws {
    let sealed = try Tree(["/proc/sys/kernel/modules_disabled": "1\n"])
    #expect(try sealed.find("module.xt_bpf").found.contains("nothing can be loaded any more"))
    let barred = try Tree(["/etc/modprobe.d/hardening.conf": "install xt_bpf /bin/false\n"])
    let finding = try barred.find("module.xt_bpf")
    #expect(finding.outcome == .fail && finding.remedy.contains("/etc/modprobe.d/hardening.conf"), "\(finding)")
    let without = try Tree(["/sbin/modprobe": nil])
    let unloadable = try without.find("module.xt_bpf")
    #expect(unloadable.outcome == .warn && unloadable.remedy.contains("kmod"), "\(unloadable)")
  }

  @Test func thePackageIsThatOfTheDistribution() throws {
    for (id, release, package) in [
      ("ubuntu", "5.15.0-91-generic", "linux-modules-extra-5.15.0-91-generic"),
      ("rhel", "5.14.0-427.el9.x86_64", "kernel-modules-extra"), ("sles", "6.4.0-150600.21-default", "kernel-default"),
    ] {
      let tree = try Tree([
        "/etc/os-release": "ID=\(id)\nVERSION_ID=99\n", "/proc/sys/kernel/osrelease": "\(release)\n",
        "/lib/modules/\(release)/modules.dep": "kernel/x.ko:\n",
      ])
      let finding = try tree.find("module.xt_bpf")
      #expect(finding.remedy.contains(package), "\(finding)")
    }
    // A kernel of one's own is in no package.
    let own = try Tree([
      "/proc/sys/kernel/osrelease": "6.18.44-mine\n", "/lib/modules/6.18.44-mine/modules.dep": "kernel/x.ko:\n",
    ])
    #expect(try own.find("module.xt_bpf").commands.isEmpty)
  }

  @Test(.requires(.root, .networkNamespaces)) func aModuleOnTheDiskAloneIsNotTried() throws {
    // Were it tried, the kernel would load it: nothing but --fix may do that.
    var settings = SurveySettings()
    settings.only = "module.xt_bpf"
    let tree = try Tree()
    let row = try #require(Survey.of(tree.host, settings).rows.first)
    #expect(row.finding.found == "loadable", "\(row.finding)")
    // The same kernel, with the list gone: only an attempt can tell.
    let bare = try Tree(["/lib/modules/6.1.0-18-amd64/modules.dep": nil])
    let other = try #require(Survey.of(bare.host, settings).rows.first)
    #expect(other.finding.found != "loadable" && other.finding.outcome != .unknown, "\(other.finding)")
  }
}
