// What `openssl s_client` says of a TLS handshake, in one line.

/// The text of a run of `openssl s_client -verify 20`.
struct Handshake: Sendable {
  private let lines: [Substring]

  init(_ text: String) { lines = text.split(separator: "\n") }

  /// The step that it stands for, and OpenSSL's code for what is wrong with the chain.
  func step(took: Duration) -> (ReachStep, Int?) {
    guard let (code, words) = verification, let version else {
      let complaint = lines.first { $0.contains("error:") }.map { line in
        // `40C7…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl/…:`
        line.split(separator: ":", omittingEmptySubsequences: false).dropFirst(4).first { !$0.isEmpty }.map(String.init)
          ?? String(line)
      }
      return (.failed(complaint ?? "no handshake: the other end does not speak TLS", took), nil)
    }
    guard code != 0 else { return (.done("\(version), \(value("subject=") ?? "a certificate") verified", took), 0) }
    var meaning = Self.meaning(code) ?? words
    if [20, 21].contains(code), let issuer = value("issuer=") { meaning += ": \(issuer)" }
    return (.failed(meaning, took), code)
  }

  /// `Verify return code: 10 (certificate has expired)`: the last one counts, which is of all of the chain.
  private var verification: (code: Int, words: String)? {
    guard let line = lines.last(where: { $0.contains("Verify return code: ") }),
      let place = line.firstRange(of: "Verify return code: ")
    else { return nil }
    let rest = line[place.upperBound...]
    guard let code = Int(rest.prefix(while: \.isNumber)) else { return nil }
    return (code, rest.drop { $0 != "(" }.dropFirst().prefix { $0 != ")" }.description)
  }

  /// `New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384`; `(NONE)` where nothing was agreed on.
  private var version: String? {
    let line = lines.first { $0.hasPrefix("New, ") || $0.hasPrefix("Reused, ") }
    let word = line?.split(separator: ",").dropFirst().first.map { String($0).trimmed }
    return word == "(NONE)" ? nil : word
  }

  private func value(_ key: String) -> String? {
    lines.first { $0.hasPrefix(key) }.map { String($0.dropFirst(key.count)).trimmed }
  }

  /// The codes that people meet (openssl-verification-options(1), x509_vfy.h).
  static func meaning(_ code: Int) -> String? {
    switch code {
    case 9: "the certificate is not valid yet"
    case 10: "the certificate has expired"
    case 18: "the certificate is self-signed"
    case 19: "a self-signed authority that the trust store does not hold"
    // OpenSSL says 21 of a single certificate, 20 of a longer chain.
    case 20, 21: "its issuer is not in the trust store, nor sent by the server"
    case 23: "the certificate is revoked"
    case 62: "the certificate is for another name"
    case 64: "the certificate is for another address"
    default: nil
    }
  }
}
