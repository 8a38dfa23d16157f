// What the pins of the netfilter datapath say of it, without opening it.
internal import BPF
internal import CDatapath
internal import Kernel

extension NetfilterDatapath {
  /// The cgroup that the pinned programs police; nil if it is gone or nothing is attached.
  static func policedCgroup(_ pins: PinnedState) throws(DatapathError) -> CgroupID? {
    guard try isAttached(pins) else { return nil }
    return try policedDirectory(pins)?.id
  }

  /// Whether enforcement has begun: by the tracepoint's link, which the mark view does not have, else by a generation.
  private static func isAttached(_ pins: PinnedState) throws(DatapathError) -> Bool {
    guard pins.object == .netfilterMark else { return pins.hasLink(tracepoint.program) }
    do throws(BPFError) {
      return try BPFMap<UInt32, UInt32>.pinned(pins.map("sp_active")).value(for: 0) ?? 0 != 0
    } catch {
      throw DatapathError("read generation", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  private static func policedDirectory(_ pins: PinnedState) throws(DatapathError) -> CgroupDirectory? {
    do throws(BPFError) {
      let path = pins.map(PinnedState.pin(of: ".rodata.netfilter"))
      guard let scope = try BPFMap<UInt32, sp_nf_config>.pinned(path).value(for: 0) else { return nil }
      do throws(KernelError) {
        return try CgroupHierarchy.find().directory(id: CgroupID(rawValue: scope.cgroup))
      } catch { throw BPFError(error) }
    } catch {
      throw DatapathError("read scope", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  /// The programs that are not called: the tracepoint's without a link, the others if any namespace of a policed process
  /// lacks their rules.
  static func missingAttachments(_ pins: PinnedState) throws(DatapathError) -> [String] {
    let isMark = pins.object == .netfilterMark
    let missing = isMark || pins.hasLink(tracepoint.program) ? [] : [tracepoint.program]
    guard let directory = try policedDirectory(pins) else { return pins.object.programs }
    let rules = NetfilterRules(try ruleset(pins))
    let namespaces: [NetworkNamespace]
    do throws(KernelError) {
      namespaces = try NetworkNamespace.ofProcesses(below: directory)
    } catch {
      throw DatapathError("inspect", pins.published, underlying: error, remedy: error.remedy)
    }
    for namespace in namespaces {
      // What the agent tells in its rules of the mark view is known to it alone.
      let isInForce =
        if isMark { try rules.versionInForce(in: namespace) == rules.ruleset.version } else {
          try rules.state(in: namespace) == .intact
        }
      if !isInForce { return missing + [output, input] }
    }
    return missing
  }

  /// Takes an instance's rules out of every namespace of the host; what could not be taken out is an error.
  static func removeRules(_ pins: PinnedState) throws(DatapathError) {
    let removal = NetfilterRules.removeEverywhere(instance: pins.rulesInstance)
    guard let failure = removal.failures.first else { return }
    let more = removal.failures.count > 1 ? ", and \(removal.failures.count - 1) more" : ""
    throw DatapathError(
      "remove rules", pins.published, reason: "\(failure.problem)\(more)", underlying: failure, remedy: failure.remedy)
  }
}
