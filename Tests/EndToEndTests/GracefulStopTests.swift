// Real servers that are stopped under load lose nothing: the short form of scripts/graceful-stops.
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Graceful stops", .serialized,
  .requires(
    .root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("nginx"), .program("haproxy"),
    .program("redis-server"), .program("redis-cli"), .program("busybox"), .program("bash"), .program("psql"),
    .program("iptables-nft", package: "iptables")))
struct GracefulStopTests {
  /// How many; the script's own defaults take an hour.
  private static func count(_ name: String, _ usual: Int) -> String {
    unsafe getenv(name).map { unsafe String(cString: $0) } ?? String(usual)
  }

  @Test(
    "nginx, haproxy, PostgreSQL and redis stopped under load, and clients and servers that live for a moment",
    arguments: ["cgroup", "netfilter"])
  func script(datapath: String) throws {
    let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    let script = root.appending("scripts/graceful-stops").string
    try withSandbox { sandbox in
      let outcome = try OwnedDescriptor.open("/dev/stderr", flags: O_WRONLY)
      let child = try sandbox.start(
        [
          "env", "SALLYPORT=\(Product.sallyport)", "bash", script, "--datapath", datapath, "--stops",
          Self.count("SALLYPORT_GRACEFUL_STOPS", 4), "--pairs", Self.count("SALLYPORT_GRACEFUL_PAIRS", 8),
        ], output: outcome.raw)
      #expect(try child.wait() == 0)
    }
  }
}
