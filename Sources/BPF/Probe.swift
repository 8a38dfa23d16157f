// What this kernel can do, found out by trying and never by its version; conclusive answers are kept.
internal import CLibbpf
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// What a probe found.
package enum FeatureSupport: Equatable, Sendable {
  /// It was tried and it works.
  case supported
  /// The kernel lacks it, or refuses it here; the reason is one line.
  case unsupported(reason: String)
  /// The attempt said nothing about the feature, such as EPERM or ENOMEM.
  case inconclusive(reason: String)

  /// Whether the feature was seen to work.
  package var isSupported: Bool { self == .supported }

  /// Why not, or nil.
  package var reason: String? {
    switch self {
    case .supported: nil
    case .unsupported(let reason), .inconclusive(let reason): reason
    }
  }
}

/// Something a kernel may lack.
package struct Feature: Sendable {
  /// What it is, in the kernel's words.
  package let name: String
  /// The first kernel that has it, for the message; the test decides.
  package let since: String
  private let test: @Sendable () throws(BPFError) -> Void

  private static let answers = Mutex<[String: FeatureSupport]>([:])

  /// A feature that is there if `test` does not throw; the name is the cache's key.
  package init(_ name: String, since: String, test: @escaping @Sendable () throws(BPFError) -> Void) {
    self.name = name
    self.since = since
    self.test = test
  }

  /// Tries it, once per process.
  package func probe() -> FeatureSupport {
    if let known = Self.answers.withLock({ $0[name] }) { return known }
    let answer = attempt()
    // An inconclusive answer may be another one as soon as a capability or memory is there.
    if case .inconclusive = answer { return answer }
    Self.answers.withLock { $0[name] = answer }
    return answer
  }

  private func attempt() -> FeatureSupport {
    do {
      try test()
      return .supported
    } catch {
      let reason = "\(name) (since \(since)): \(KernelError.describe(error.errno))"
      // EPERM is a lack of privilege, or a kernel that forbids it: the same probe may end otherwise elsewhere.
      let transient: [Errno] = [.notPermitted, .permissionDenied, .noMemory, .resourceTemporarilyUnavailable]
      return transient.contains(error.errno) && error.verifierLog == nil
        ? .inconclusive(reason: reason) : .unsupported(reason: reason)
    }
  }
}

extension Feature {
  /// A type of program, tried with `return 1`.
  package static func program(_ type: ProgramType, attach: AttachType? = nil, name: String, since: String) -> Feature {
    Feature("program \(name)", since: since) { () throws(BPFError) in
      _ = try BPFProgram.load(type, attach: attach, name: "probe", instructions: [.move(0, 1), .exit])
    }
  }

  /// A type of map, tried with one entry.
  package static func map(_ type: MapType, name: String, since: String, entries: Int = 1) -> Feature {
    Feature("map \(name)", since: since) { () throws(BPFError) in
      switch type {
      case .ringBuffer:
        _ = try createMap(type, name: "probe", sizes: (0, 0), maxEntries: 4096, flags: 0, inner: nil)
      case .lpmTrie:
        let noPreallocation: UInt32 = 1
        _ = try createMap(type, name: "probe", sizes: (8, 8), maxEntries: 1, flags: noPreallocation, inner: nil)
      default:
        _ = try createMap(type, name: "probe", sizes: (4, 8), maxEntries: entries, flags: 0, inner: nil)
      }
    }
  }

  /// Whether programs of a type may call helper number `helper`.
  ///
  /// The call is made with no arguments set up: what matters is whether the verifier knows the function.
  package static func helper(
    _ helper: UInt32, for type: ProgramType, attach: AttachType? = nil, name: String, since: String
  ) -> Feature {
    Feature("helper \(name) for program type \(type.rawValue)", since: since) { () throws(BPFError) in
      do throws(BPFError) {
        _ = try BPFProgram.load(
          type, attach: attach, name: "probe", instructions: [.call(helper), .move(0, 1), .exit])
      } catch {
        let log = error.verifierLog ?? ""
        // A verifier that complains of the arguments knows the helper.
        let unknown = ["unknown func", "invalid func", "program of this type cannot use helper"]
        if log.isEmpty || unknown.contains(where: log.contains) { throw error }
      }
    }
  }

  /// Batches of map operations.
  package static let mapBatches = Feature("map batches", since: "5.6") { () throws(BPFError) in
    let map = try BPFMap<UInt32, UInt32>.create(.hash, name: "probe", maxEntries: 1)
    var options = bpf_map_batch_opts(sz: MemoryLayout<bpf_map_batch_opts>.size, elem_flags: 0, flags: 0)
    var key: UInt32 = 1
    var value: UInt32 = 1
    var count: UInt32 = 1
    try checkBPF(
      unsafe bpf_map_update_batch(map.descriptor.raw, &key, &value, &count, &options), "probe", "map batches")
  }
}
