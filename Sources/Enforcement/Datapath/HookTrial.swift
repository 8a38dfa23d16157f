// The hooks of the cgroup datapath tried one by one on a cgroup that nobody lives in.
package import BPF
package import Kernel
internal import SystemPackage

/// One hook that the cgroup datapath attaches to, and what this kernel made of it.
package struct HookTrial: Sendable {
  /// Which one.
  package let hook: AttachType
  /// The smallest program of its kind, loaded.
  package let load: FeatureSupport
  /// The same, attached to a scratch cgroup; nil if it did not load, or there is no cgroup to try it on.
  package let attach: FeatureSupport?

  /// Whether it is known to work: loaded, and attached where that was tried.
  package var isUsable: Bool { load.isSupported && attach?.isSupported != false }

  /// The hooks that the datapath uses.
  package static let hooks: [AttachType] = Hook.all.map(\.type)

  /// Tries all of them; nothing stays attached.
  ///
  /// `scratch` is a cgroup without processes that the caller made, and removes.
  package static func all(on scratch: CgroupDirectory?) -> [HookTrial] { hooks.map { one($0, scratch) } }

  private static func one(_ hook: AttachType, _ scratch: CgroupDirectory?) -> HookTrial {
    let program: BPFProgram
    do throws(BPFError) {
      program = try BPFProgram.load(
        hook.programType, attach: hook, name: "sp_preflight", instructions: [.move(0, 1), .exit])
    } catch {
      return HookTrial(hook: hook, load: support(error), attach: nil)
    }
    guard let scratch else { return HookTrial(hook: hook, load: .supported, attach: nil) }
    do throws(BPFError) {
      _ = try BPFLink.attach(program, cgroup: scratch.descriptor, type: hook)
      return HookTrial(hook: hook, load: .supported, attach: .supported)
    } catch {
      return HookTrial(hook: hook, load: .supported, attach: support(error))
    }
  }

  private static func support(_ error: BPFError) -> FeatureSupport {
    let isTransient = [.notPermitted, .permissionDenied, .noMemory].contains(error.errno) && error.verifierLog == nil
    return isTransient ? .inconclusive(reason: error.reason) : .unsupported(reason: error.reason)
  }
}

extension AttachType {
  /// The kind of program that such a hook takes.
  fileprivate var programType: ProgramType {
    switch self {
    case .cgroupIngress, .cgroupEgress: .cgroupSKB
    case .cgroupSockOps: .sockOps
    case .cgroupSocketCreate, .cgroupSocketRelease, .cgroupPostBind4, .cgroupPostBind6: .cgroupSocket
    default: .cgroupSocketAddress
    }
  }
}

extension DatapathKind {
  /// What the programs of a kind need of a kernel, those of every object that an agent may choose.
  package static func needs(of kind: DatapathKind) throws(BPFError) -> [ObjectNeeds] {
    try EmbeddedObject.of(kind).map { object throws(BPFError) in
      let parsed = try object.withBytes { bytes throws(BPFError) in try BPFObject.open(bytes: bytes, name: "sp") }
      return try parsed.needs()
    }
  }
}
