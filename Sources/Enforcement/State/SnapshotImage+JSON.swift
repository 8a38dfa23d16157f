// The text of `snapshot.json`, as `Snapshot.read(from:)` reads it.

internal import JSON
internal import Kernel
internal import Policy

extension SnapshotImage {
  /// Gives the whole file to `part`, piece by piece, because it may have tens of megabytes; keys are sorted.
  func write<Failure>(_ part: ([UInt8]) throws(Failure) -> Void) throws(Failure) {
    var text = JSONWriter()
    try text.object { (text) throws(Failure) in
      text.member("attached", summary.attached)
      text.member("cellLimit", summary.cellLimit)
      text.member("cells", summary.cells)
      text.member("cgroup", summary.cgroup)
      let ended = ended
      if !ended.isEmpty {
        text.key("ended")
        text.array(ended) { Self.write($1, &$0) }
      }
      text.key("externals")
      text.array(externals.sorted { $0.key < $1.key }) { text, external in
        text.object { text in
          text.key("networks")
          text.array(external.value) { $0.string($1) }
          text.member("number", external.key.rawValue)
        }
      }
      text.member("failures", summary.failures)
      text.member("generation", summary.generation)
      text.key("identities")
      try writeIdentities(&text, part)
      if let error = summary.lastError { text.member("lastError", error) }
      text.member("pid", summary.pid)
      text.member("pins", summary.pins)
      text.key("rules")
      text.array(rules.enumerated()) { Self.write($1.element, number: $1.offset + 1, &$0) }
      text.key("sources")
      text.array(summary.sources) { text, source in
        text.object { text in
          text.member("name", source.name)
          text.key("text")
          // Whatever was applied is UTF-8, or the parser would have refused it.
          text.string(utf8: source.bytes)
        }
      }
      text.member("version", summary.version)
      text.key("warnings")
      text.array(summary.warnings) { $0.string($1) }
      text.key("workloads")
      try text.array(workloads) { (text, workload) throws(Failure) in
        Self.write(workload, &text)
        try Self.hand(&text, part)
      }
    }
    try part(text.take() + [UInt8(ascii: "\n")])
  }

  private static func hand<Failure>(
    _ text: inout JSONWriter, _ part: ([UInt8]) throws(Failure) -> Void
  ) throws(Failure) {
    if text.bytes.count >= 1 << 16 { try part(text.take()) }
  }

  private func writeIdentities<Failure>(
    _ text: inout JSONWriter, _ part: ([UInt8]) throws(Failure) -> Void
  ) throws(Failure) {
    try text.array(CollectionOfOne(self)) { (text, image) throws(Failure) in
      try image.eachIdentity { (number, identity, labels) throws(Failure) in
        text.object { text in
          text.member("identity", identity.description)
          text.key("labels")
          Self.write(labels, &text)
          text.member("number", number.rawValue)
        }
        try Self.hand(&text, part)
      }
    }
  }

  private static func write(_ labels: LabelSet, _ text: inout JSONWriter) {
    text.object { text in
      for label in labels.labels { text.member(label.key, label.value) }
    }
  }

  private static func write(_ rule: RuleReference, number: Int, _ text: inout JSONWriter) {
    text.object { text in
      text.member("action", rule.action.description)
      text.member("direction", rule.direction.description)
      text.member("mode", rule.mode.description)
      text.member("name", rule.name)
      text.member("number", number)
      text.member("position", rule.position)
      text.member("ruleSet", rule.ruleSet)
      text.member("source", rule.source.description)
    }
  }

  private static func write(_ workload: WorkloadInstance, _ text: inout JSONWriter) {
    text.object { text in
      text.key("addresses")
      text.array(workload.addresses) { $0.string($1.description) }
      text.member("cgroup", workload.cgroup.rawValue)
      text.key("labels")
      write(workload.labels, &text)
      text.member("level", workload.level)
      if !workload.name.isEmpty { text.member("name", workload.name) }
      text.member("observe", workload.observe)
      text.member("path", workload.path)
      if workload.rejectsUnlabelledChildren { text.member("rejectsUnlabelledChildren", true) }
      if workload.since != 0 { text.member("since", workload.since) }
      text.member("source", workload.source)
    }
  }
}
