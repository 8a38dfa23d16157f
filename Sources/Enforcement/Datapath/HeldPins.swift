// What an agent holds by itself: pins may go, enforcement may not.

internal import BPF
internal import Kernel
internal import Synchronization

/// How the pins of an instance are, and what was done about it.
package struct PinCondition: Sendable, Equatable {
  /// What was pinned again.
  package var pinned: [String] = []
  /// Programs that were not attached any more and are again: what passed meanwhile was not judged.
  package var attached: [String] = []
  /// What could not be done: enforcement holds as long as this process.
  package var failures: [String] = []

  /// Whether nothing had to be done.
  package var isGood: Bool { self == PinCondition() }
}

/// Descriptors of everything that is pinned, so that it lives as long as the agent.
final class HeldPins: Sendable {
  private struct Link: Sendable {
    let name: String
    let link: HeldLink
  }

  private final class HeldLink: Sendable {
    let link: BPFLink
    init(_ link: consuming BPFLink) { self.link = link }
  }

  private final class HeldProgram: Sendable {
    let program: BPFProgram
    init(_ program: consuming BPFProgram) { self.program = program }
  }

  private final class HeldMap: Sendable {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }

  private struct State {
    var links: [String: HeldLink] = [:]
    var programs: [String: HeldProgram] = [:]
    var maps: [String: HeldMap] = [:]
    var isHolding = false
  }

  private let pins: PinnedState
  private let state = Mutex(State())

  init(_ pins: PinnedState) { self.pins = pins }

  /// Opens everything that is pinned now.
  func hold() throws(DatapathError) {
    let pins = pins
    try state.withLock { state throws(DatapathError) in
      do throws(BPFError) {
        var next = State(isHolding: true)
        for name in try Self.names(pins, "links") { next.links[name] = HeldLink(try .held(pins.link(name))) }
        for name in try Self.names(pins, "programs") {
          next.programs[name] = HeldProgram(try .pinned(pins.program(name)))
        }
        for name in try Self.names(pins, "maps") { next.maps[name] = HeldMap(try .pinned(pins.map(name), "map")) }
        state = next
      } catch {
        throw DatapathError("hold", pins.published, underlying: error, remedy: error.remedy)
      }
    }
  }

  /// Lets go of everything: enforcement is being ended.
  func release() { state.withLock { $0 = State() } }

  /// Looks whether everything is attached and pinned, and repairs it; cheap when nothing is wrong.
  ///
  /// `attach` attaches a program whose link the kernel ended; nil when there is nothing left to attach it to.
  func mend(_ attach: (String, borrowing BPFProgram) throws(BPFError) -> BPFLink?) -> PinCondition {
    state.withLock { state in
      var condition = PinCondition()
      guard state.isHolding else { return condition }
      for (name, held) in state.links.sorted(by: { $0.key < $1.key }) {
        guard let program = state.programs[name], (try? held.link.info().isDetached) != false else { continue }
        do throws(BPFError) {
          guard let link = try attach(name, program.program) else { continue }
          state.links[name] = HeldLink(link)
          try removePin(at: pins.link(name))
          condition.attached.append(name)
        } catch {
          condition.failures.append("\(error)")
        }
      }
      repin(state, &condition)
      return condition
    }
  }

  private func repin(_ state: State, _ condition: inout PinCondition) {
    let lost =
      state.maps.keys.filter { !isThere(pins.map($0)) }.map { "maps/\($0)" }
      + state.programs.keys.filter { !isThere(pins.program($0)) }.map { "programs/\($0)" }
      + state.links.keys.filter { !isThere(pins.link($0)) }.map { "links/\($0)" }
    guard !lost.isEmpty else { return }
    do throws(BPFError) {
      do throws(KernelError) {
        try BPFFilesystem(path: pins.bpffs).require()
        for path in [pins.root, pins.published] + ["maps", "programs", "links"].map({ "\(pins.published)/\($0)" }) {
          try makeDirectory(path, mayExist: true)
        }
      } catch { throw BPFError(error) }
      for path in lost.sorted() {
        let name = String(path.drop { $0 != "/" }.dropFirst())
        let place = "\(pins.published)/\(path)"
        if path.hasPrefix("maps/") {
          try state.maps[name]?.descriptor.pin(at: place)
        } else if path.hasPrefix("programs/") {
          try state.programs[name]?.program.pin(at: place)
        } else {
          try state.links[name]?.link.descriptor.pin(at: place)
        }
        condition.pinned.append(path)
      }
    } catch {
      condition.failures.append("\(lost.count) pins are gone: \(error)")
    }
  }

  private static func names(_ pins: PinnedState, _ part: String) throws(BPFError) -> [String] {
    do throws(KernelError) { return try directoryNames("\(pins.published)/\(part)") } catch { throw BPFError(error) }
  }
}
