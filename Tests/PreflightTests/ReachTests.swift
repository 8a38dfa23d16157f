// Is each step towards an address timed, and each broken chain named with its remedy?
import Glibc
import Kernel
import Preflight
import SystemPackage
import TestSupport
import Testing

@Suite struct DestinationTextTests {
  @Test(arguments: [
    ("example.com", "example.com:443", true), ("example.com:8443", "example.com:8443", true),
    ("tcp://10.0.0.1:2379", "10.0.0.1:2379", false), ("tls://[::1]:6443", "[::1]:6443", true),
    ("https://api.example.com/version", "api.example.com:443", true), ("fd00::1", "[fd00::1]:443", true),
  ])
  func anAddressIsRead(_ text: String, _ shown: String, _ usesTLS: Bool) throws {
    let destination = try #require(Destination(text))
    #expect(destination.description == shown && destination.usesTLS == usesTLS)
  }

  @Test(arguments: [
    "", ":443", "a:0", "a:70000", "a:x", "-servername:443", "a b:1", "[::1", "[::1]x", "a;reboot:1", "tls://",
  ])
  func whatIsNoneIsRefused(_ text: String) { #expect(Destination(text) == nil) }
}

extension LivePreflightTests {
  @Suite(.requires(.root, .product, .networkNamespaces)) final class ReachTests {
    private let namespace: NetworkNamespace
    private let files: TemporaryDirectory
    private var directory: String { files.path }
    private var servers: [Server] = []

    /// Keeps a child that must not outlive the test.
    private final class Server {
      let child: ChildProcess
      init(_ child: consuming ChildProcess) { self.child = child }
      deinit {
        try? child.handle.send(signal: SIGKILL)
        _ = try? child.wait()
      }
    }

    init() throws {
      namespace = try NetworkNamespace.anonymous()
      try namespace.bringLoopbackUp()
      files = try TemporaryDirectory()
    }

    /// Authorities `ca` (trusted) and `other`, and a certificate of each kind.
    private func makeCertificates() async throws {
      let said = try await Command.output([
        "sh", "-c",
        """
        set -e; cd '\(directory)'
        new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        for a in ca other; do openssl req -x509 $new -keyout $a.key -out $a.pem -subj "/CN=$a" -days 2; done
        openssl req -x509 $new -keyout self.key -out self.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2
        leaf() { # NAME AUTHORITY DAYS SUBJECTALTNAME
          openssl req $new -keyout $1.key -out $1.csr -subj "/CN=$1"
          printf 'subjectAltName=%s\\n' "$4" > $1.ext
          openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days "$3" -extfile $1.ext -out $1.pem
        }
        leaf good ca 2 DNS:localhost,IP:127.0.0.1
        leaf expired ca -1 DNS:localhost
        leaf wrong ca 2 DNS:elsewhere.example
        leaf unknown other 2 DNS:localhost
        """,
      ])
      try #require(said.status == 0, "\(said.errors)")
    }

    /// A TLS server of one certificate at a port of the namespace.
    private func serve(_ name: String, port: UInt16) throws {
      let openssl = try #require(Sandbox.find("openssl"))
      servers.append(
        Server(
          try ChildProcess.start(
            openssl,
            [
              "s_server", "-accept", "127.0.0.1:\(port)", "-cert", "\(directory)/\(name).pem", "-key",
              "\(directory)/\(name).key", "-quiet",
            ], namespace: namespace)))
      try eventually("\(name) listens") {
        try namespace.run {
          try ConnectionProbe.connect(
            to: InlineArray { [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1][$0] }, isIPv4: true, port: port,
            timeoutMilliseconds: 100
          ).isConnected
        }
      }
    }

    @Test func eachBrokenChainIsNamedWithItsRemedy() async throws {
      try await makeCertificates()
      let kinds: [(name: String, outcome: String, found: String, remedy: String)] = [
        ("good", "pass", "verified", ""),
        ("expired", "fail", "the certificate has expired", "renewed"),
        ("self", "fail", "the certificate is self-signed", "--trust-store"),
        ("wrong", "fail", "the certificate is for another name", "subjectAltName"),
        ("unknown", "fail", "not in the trust store", "update-ca-certificates"),
      ]
      for (index, kind) in kinds.enumerated() { try serve(kind.name, port: 4400 + UInt16(index)) }
      let addresses = kinds.indices.flatMap { ["--connect", "tls://localhost:\(4400 + $0)"] }
      let run = try await Command.preflight(
        addresses + ["--connect", "tls://127.0.0.1:4400", "--trust-store", "\(directory)/ca.pem", "--for", "cluster"],
        in: namespace)
      for (index, kind) in kinds.enumerated() {
        let check = try run.document["connectivity.localhost:\(4400 + index)"]
        #expect(check.outcome == kind.outcome && check.found.contains(kind.found), "\(kind.name): \(check)")
        #expect(check.remedy.contains(kind.remedy), "\(kind.name): \(check)")
        #expect(check.details.count == 3 && check.details.allSatisfy { $0.contains(" ms") }, "\(check.details)")
      }
      #expect(try run.document["connectivity.127.0.0.1:4400"].outcome == "pass")
      #expect(run.said.status == 1)
    }

    @Test func aServerThatNeverAnswersIsGivenUp() async throws {
      let listener = try namespace.run { try TestSocket.listening("127.0.0.1", 4500) }
      let begin = ContinuousClock.now
      let run = try await Command.preflight(
        [
          "--connect", "tls://127.0.0.1:4500", "--connect", "tls://127.0.0.1:4501", "--timeout", "4", "--for",
          "cluster",
        ],
        in: namespace)
      #expect(ContinuousClock.now - begin < .seconds(9))
      let silent = try run.document["connectivity.127.0.0.1:4500"]
      #expect(silent.outcome == "fail" && silent.found.hasPrefix("TLS: no answer within"), "\(silent)")
      let closed = try run.document["connectivity.127.0.0.1:4501"]
      #expect(closed.outcome == "fail" && closed.found.hasPrefix("TCP: ECONNREFUSED"), "\(closed)")
      withExtendedLifetime(listener) {}
    }

    @Test func aResolverThatHangsIsGivenUp() async throws {
      try replaceFile(FilePath("\(directory)/resolv.conf"), with: Array("nameserver 127.0.0.53\n".utf8))
      // It takes every question and answers none.
      let resolver = try namespace.run { try TestSocket.bound("127.0.0.53", 53) }
      let begin = ContinuousClock.now
      let run = try await Command.preflight(
        ["--connect", "tls://slow.example:443", "--timeout", "4", "--for", "cluster"],
        after: "mount --bind '\(directory)/resolv.conf' /etc/resolv.conf", in: namespace)
      #expect(ContinuousClock.now - begin < .seconds(9))
      let check = try run.document["connectivity.slow.example:443"]
      #expect(check.outcome == "fail" && check.found.hasPrefix("DNS: no answer within"), "\(check)")
      #expect(check.remedy.contains("/etc/resolv.conf"))
      withExtendedLifetime(resolver) {}
    }
  }
}
