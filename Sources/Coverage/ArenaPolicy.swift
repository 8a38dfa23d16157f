// The policy of the probes: one party refuses, the other would not, so that each end is seen by itself.

/// The documents that are in force while the probes run.
enum ArenaPolicy {
  /// The port on which the server lets the host in.
  static let hostPort: UInt16 = 7001

  /// Rules for everybody; `guests` says whether the guest is let in.
  static func documents(guests: Bool) -> String {
    let admitted = guests ? "friend,confined,guest" : "friend,confined"
    return outgoing("friend") + outgoing("intruder") + outgoing("guest") + """
      ---
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: server}
      spec:
        subject: "probe=server"
        incoming:
          - {action: allow, peers: [{selector: "probe in (\(admitted))"}], ports: any}
          - {action: allow, peers: [{selector: "sallyport.identity=host"}], ports: [tcp/\(hostPort)]}

      """
  }

  private static func outgoing(_ name: String) -> String {
    """
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: \(name)}
    spec:
      subject: "probe=\(name)"
      outgoing:
        - {action: allow, peers: any, ports: any}

    """
  }
}
