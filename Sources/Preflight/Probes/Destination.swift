// An address that this host is to reach, and how far it got: name, connection, certificate.
internal import Enforcement
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// What is to be reached.
package struct Destination: Hashable, Sendable, CustomStringConvertible {
  /// A name or an address, without brackets.
  package let host: String
  /// The TCP port.
  package let port: UInt16
  /// Whether a certificate is looked at.
  package let usesTLS: Bool

  /// Reads `HOST`, `HOST:PORT`, `tls://HOST:PORT`, `tcp://HOST:PORT` or `https://HOST`; nil for anything else.
  ///
  /// Without a scheme it is TLS, without a port 443.
  package init?(_ text: String) {
    var rest = text.trimmed[...]
    var usesTLS = true
    for (scheme, isTLS) in [("tls://", true), ("https://", true), ("tcp://", false)] where rest.hasPrefix(scheme) {
      rest = rest.dropFirst(scheme.count)
      usesTLS = isTLS
    }
    rest = rest.prefix { $0 != "/" }
    var port: UInt16? = 443
    if rest.hasPrefix("["), let close = rest.firstIndex(of: "]") {
      let after = rest[rest.index(after: close)...]
      if !after.isEmpty { port = after.hasPrefix(":") ? UInt16(after.dropFirst()) : nil }
      rest = rest[rest.index(after: rest.startIndex)..<close]
    } else if let colon = rest.lastIndex(of: ":"), rest.firstIndex(of: ":") == colon {
      port = UInt16(rest[rest.index(after: colon)...])
      rest = rest[..<colon]
    }
    let isPlain = rest.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x3a, 0x5f: true  // digits, letters, - . : _
      default: false
      }
    }
    // A name with a hyphen in front would be an option of the program that looks at the certificate.
    guard let port, port > 0, !rest.isEmpty, isPlain, !rest.hasPrefix("-") else { return nil }
    host = String(rest)
    self.port = port
    self.usesTLS = usesTLS
  }

  /// `HOST:PORT`, an address of IPv6 in brackets.
  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// How one step of reaching a destination ended.
package enum ReachStep: Equatable, Sendable {
  /// It worked; what was learnt, and how long it took.
  case done(String, Duration)
  /// It did not; why.
  case failed(String, Duration)
  /// Nobody answered in time.
  case silent(Duration)
  /// It could not be tried, and why.
  case untried(String)

  var isDone: Bool { if case .done = self { true } else { false } }
}

/// The three steps.
package struct DestinationTrial: Equatable, Sendable {
  /// Name to addresses.
  package var name: ReachStep
  /// A TCP connection to the first address that answers.
  package var connection: ReachStep
  /// The certificate's chain against the trust store.
  package var certificate: ReachStep
  /// The code that OpenSSL gives for what is wrong with the chain (openssl-verification-options(1)); 0 = nothing.
  package var code: Int?
}

/// Where certificates of authorities are.
package struct TrustStore: Hashable, Sendable {
  /// A file of certificates in PEM, or a directory of hashed ones; nil = OpenSSL's own place.
  package let path: String?

  /// Names a place.
  package init(path: String?) { self.path = path }
}

extension Probe {
  /// Reaches a destination: each step has a third of `limit`.
  static func reach(_ destination: Destination, _ store: TrustStore, within limit: Duration) -> Probe {
    Probe("\(destination)", within: limit) { results, look in
      // A step that hangs is the finding: the resolver has no limit of its own.
      results.destinations[destination] = look
    } _: {
      var trial = DestinationTrial(name: .untried("not yet"), connection: .untried(""), certificate: .untried(""))
      let step = limit / 3
      let addresses = lookUp(destination.host, within: step)
      trial.name = addresses.step
      guard trial.name.isDone else { return trial }
      let (connection, address) = try connect(addresses.found, destination.port, within: step)
      trial.connection = connection
      guard connection.isDone, let address else { return trial }
      guard destination.usesTLS else {
        trial.certificate = .untried("only a connection was asked for")
        return trial
      }
      (trial.certificate, trial.code) = certificate(destination, address, store, within: step)
      return trial
    }
  }

  // MARK: Steps

  private static func lookUp(_ host: String, within limit: Duration) -> (step: ReachStep, found: [ResolvedAddress]) {
    let begin = ContinuousClock.now
    switch withinLimit(limit, { Result { () throws(NameLookupError) in try NameLookup.addresses(of: host) } }) {
    case nil: return (.silent(limit), [])
    case .failure(let error)?: return (.failed(error.reason, ContinuousClock.now - begin), [])
    case .success(let found)?:
      let list = found.prefix(3).map(\.text).joined(separator: ", ")
      return (.done(list + (found.count > 3 ? " and \(found.count - 3) more" : ""), ContinuousClock.now - begin), found)
    }
  }

  private static func connect(
    _ addresses: [ResolvedAddress], _ port: UInt16, within limit: Duration
  ) throws -> (ReachStep, ResolvedAddress?) {
    let begin = ContinuousClock.now
    var last = ReachStep.failed("the name has no address", .zero)
    for (index, address) in addresses.enumerated() {
      let left = limit - (ContinuousClock.now - begin)
      guard left > .zero else { break }
      // The last one may have all that is left, each other its share.
      let share = left / (addresses.count - index)
      let outcome = try ConnectionProbe.connect(
        to: address.inline, isIPv4: address.isIPv4, port: port,
        timeoutMilliseconds: Int32(clamping: Int(share / .milliseconds(1))))
      let took = Duration.microseconds(Int64(outcome.microseconds))
      if outcome.isConnected { return (.done(address.text, took), address) }
      last = outcome.errno == .timedOut ? .silent(share) : .failed("\(outcome.name) from \(address.text)", took)
    }
    return (last, nil)
  }

  private static func certificate(
    _ destination: Destination, _ address: ResolvedAddress, _ store: TrustStore, within limit: Duration
  ) -> (ReachStep, Int?) {
    let paths = RuleTrial.directories.map { "\($0)/openssl" }
    guard let program = paths.first(where: { isThere($0) }) else { return (.untried("openssl is not installed"), nil) }
    let place = address.isIPv4 ? address.text : "[\(address.text)]"
    let isAddress = destination.host == address.text
    var words = ["s_client", "-connect", "\(place):\(destination.port)", "-verify", "20"]
    words +=
      isAddress
      ? ["-verify_ip", address.text, "-noservername"]
      : [
        "-verify_hostname", destination.host, "-servername", destination.host,
      ]
    if let path = store.path {
      let isDirectory = (try? FileKind.at(path)) == .directory
      words += isDirectory ? ["-CApath", path, "-no-CAfile"] : ["-CAfile", path, "-no-CApath"]
      words.append("-no-CAstore")
    }
    let begin = ContinuousClock.now
    do throws(KernelError) {
      let said = try CapturedProcess.run(FilePath(program), words, environment: ["LC_ALL=C"], input: "", within: limit)
      return Handshake(said.output + said.errors).step(took: ContinuousClock.now - begin)
    } catch {
      if error.errno == .timedOut { return (.silent(limit), nil) }
      return (.untried(error.description), nil)
    }
  }

  /// What `body` returns, or nil if it takes longer; it then goes on by itself.
  private static func withinLimit<T: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () -> T) -> T? {
    let answer = Answer<T>()
    do throws(KernelError) {
      let news = try WakeEvent()
      _ = try DedicatedThread.start("probe-name") {
        let value = body()
        answer.value.withLock { $0 = value }
        news.signal()
      }
      try news.wait(atMost: limit)
    } catch {
      return nil
    }
    return answer.value.withLock { $0 }
  }
}

/// Carries an answer from one thread to another.
private final class Answer<T: Sendable>: Sendable {
  let value = Mutex<T?>(nil)
}
