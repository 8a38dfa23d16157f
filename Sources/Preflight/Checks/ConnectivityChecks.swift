// Whether this host reaches what it must: name, connection, and a chain that its trust store holds.
internal import Kernel

/// Where distributions keep the certificates of authorities as one file.
private let trustFiles = [
  "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/cert.pem",
]

/// The check of the trust store.
let trustStore = Check(
  "trust-store", .connectivity, requires: "a trust store with certificates of authorities", by: [.connectivity],
  purpose: "without one no certificate of a server can be verified",
  method: "the bundle of the distribution, certificates counted",
  remedy: "install the package ca-certificates"
) { host, _ in
  let how = "the bundle of the distribution"
  for path in trustFiles {
    switch host.text(path) {
    case .absent: continue
    case .unseen(let why): return .unknown(why, how: how)
    case .seen(let text):
      let count = text.split(separator: "\n").filter { $0.hasPrefix("-----BEGIN CERTIFICATE") }.count
      if count > 0 { return .pass("\(count) authorities in \(path)", how: how) }
    }
  }
  let install: [String] =
    switch host.packageFamily {
    case .debian: ["apt-get install ca-certificates"]
    case .redHat: ["dnf install ca-certificates"]
    case .suse: ["zypper install ca-certificates-mozilla"]
    case .unknown: []
    }
  return .warn(
    "no bundle of certificates", how: how, meaning: "certificates of servers cannot be verified",
    remedy: "install it, or name the authority's file with --trust-store", commands: install)
}

extension Check {
  /// The check of one address.
  package static func destination(_ destination: Destination) -> Check {
    Check(
      "\(destination)", .connectivity,
      requires: "\(destination) can be reached"
        + (destination.usesTLS ? ", with a chain that the trust store holds" : ""),
      by: [.connectivity], purpose: "it was asked for with --connect",
      method: "DNS, TCP and TLS one after the other, each timed", remedy: "see the step that failed",
      probes: [.destinations]
    ) { _, results in judge(destination, results) }
  }
}

private func judge(_ destination: Destination, _ results: ProbeResults) -> Finding {
  let how = destination.usesTLS ? "getaddrinfo(3), connect(2), openssl s_client" : "getaddrinfo(3), connect(2)"
  guard case .seen(let trial)? = results.destinations[destination] else {
    return .unknown(results.destinations[destination]?.obstacle ?? "it was not tried", how: how)
  }
  let steps = [("DNS", trial.name), ("TCP", trial.connection), ("TLS", trial.certificate)]
  let details = steps.map { "\($0): \(words($1))" }
  func failed(_ found: String, _ meaning: String, _ remedy: String, _ commands: [String] = []) -> Finding {
    .fail(found, how: how, meaning: meaning, remedy: remedy, commands: commands, details: details)
  }
  switch trial.name {
  case .silent:
    return failed(
      "DNS: \(words(trial.name))", "no server of /etc/resolv.conf answers", "look at the servers in /etc/resolv.conf",
      ["getent ahosts \(destination.host)"])
  case .failed:
    return failed(
      "DNS: \(words(trial.name))", "the name cannot be resolved here",
      "look at the name, at /etc/resolv.conf and at search domains", ["getent ahosts \(destination.host)"])
  case .untried(let why): return .unknown("DNS: \(why)", how: how)
  case .done: break
  }
  switch trial.connection {
  case .silent:
    return failed(
      "TCP: \(words(trial.connection))", "packets are dropped on the way, or there is no such host",
      "look at firewalls and routes between here and \(destination)")
  case .failed(let why, _):
    let isRefused = why.hasPrefix("ECONNREFUSED")
    return failed(
      "TCP: \(words(trial.connection))",
      isRefused
        ? "the host is there, and nothing listens at port \(destination.port)" : "there is no way to that address",
      isRefused ? "start the service, or correct the port" : "look at addresses, routes and firewalls of this host")
  case .untried(let why): return .unknown("TCP: \(why)", how: how)
  case .done: break
  }
  switch trial.certificate {
  case .done: return .pass(details.joined(separator: "; "), how: how, details: details)
  case .untried where !destination.usesTLS:
    return .pass(details.prefix(2).joined(separator: "; "), how: how, details: details)
  case .untried(let why):
    return .unknown("TLS: \(why)", how: how, remedy: "install openssl")
  case .silent:
    return failed(
      "TLS: \(words(trial.certificate))", "the connection stands, and the server says nothing",
      "ask who runs \(destination); a middlebox may hold the handshake back")
  case .failed:
    return failed("TLS: \(words(trial.certificate))", meaning(trial.code), remedy(trial.code, destination))
  }
}

private func words(_ step: ReachStep) -> String {
  func milliseconds(_ duration: Duration) -> String {
    let tenths = Int((duration / .microseconds(100)).rounded())
    return "\(tenths / 10).\(tenths % 10) ms"
  }
  switch step {
  case .done(let what, let took): return "\(what) in \(milliseconds(took))"
  case .failed(let why, let took): return "\(why) (after \(milliseconds(took)))"
  case .silent(let limit): return "no answer within \(milliseconds(limit))"
  case .untried(let why): return why.isEmpty ? "not reached" : why
  }
}

private func meaning(_ code: Int?) -> String {
  switch code {
  case 9: "its time has not come, or this host's clock is behind"
  case 10: "its time is over, or this host's clock is ahead"
  case 18: "nobody but itself vouches for the server"
  case 19, 20, 21:
    "no authority that this host trusts vouches for the server; or something in between shows its own certificate"
  case 62, 64: "the server that answers is not the one that was asked for, or its certificate lacks this name"
  default: "what is said to it could be read by others, or it is not who it says"
  }
}

private func remedy(_ code: Int?, _ destination: Destination) -> String {
  switch code {
  case 9: "look at host.time; else wait, or have the certificate issued anew"
  case 10: "look at host.time; else have the certificate of \(destination) renewed"
  case 18: "have an authority sign it, or name the certificate with --trust-store"
  case 19:
    "add the authority's certificate to the trust store (update-ca-certificates, update-ca-trust), or name it with --trust-store"
  case 20, 21:
    "add the authority's certificate to the trust store (update-ca-certificates, update-ca-trust), or name it with "
      + "--trust-store; if it is an authority in between, have the server send its certificate too"
  case 62, 64: "have \(destination.host) put into the certificate's subjectAltName, or use the name that it has"
  default: "look at it with `openssl s_client -connect \(destination)`"
  }
}
