// Who else enforces on a cgroup, above or below it: two sets of tables would judge every packet there.

internal import BPF
package import Kernel
internal import SystemPackage

/// Enforcement of another instance on the same or an overlapping cgroup.
package struct RivalEnforcement: Sendable, Equatable {
  /// The cgroup it is on.
  package var cgroup: String
  /// The state directory of its agent; nil when its pins are gone.
  package var state: String?
  /// Where it is pinned.
  package var pins: String?
  /// The process that holds it, if there is one.
  package var process: ProcessID?

  /// What and where, in words.
  package var description: String {
    let agent = process.map { "process \($0)" } ?? "an agent that is gone"
    guard let state, let pins else { return "programs without pins on \(cgroup), of \(agent)" }
    return "\(agent) with the state directory \(state) on \(cgroup) (pins \(pins))"
  }

  /// How it is ended.
  package var remedy: String {
    if let state { return "end it with `sallyport detach --state \(state)`, or name another cgroup" }
    return process.map { "end process \($0): the programs go with it" }
      ?? "see `bpftool cgroup show` and detach them, or name another cgroup"
  }

  /// Finds all enforcement that is not of this state directory.
  package static func find(
    on cgroup: CgroupDirectory, bpffs: String = "/sys/fs/bpf", besides state: StateDirectory
  ) throws(DatapathError) -> [RivalEnforcement] {
    let own = state.instance
    var rivals: [RivalEnforcement] = []
    var explained: Set<UInt32> = []
    let root = "\(bpffs)/sallyport"
    let instances: [String]
    do throws(KernelError) { instances = isThere(root) ? try directoryNames(root) : [] } catch {
      throw DatapathError("look for", "other agents", underlying: error)
    }
    for name in instances where !name.hasSuffix("+staging") {
      let pins = PinnedState(root: root, instance: name)
      explained.formUnion(pins.linkedPrograms)
      let base = String(name.prefix { $0 != "+" })
      guard base != own, let id = (try? pins.policedCgroup()) ?? nil,
        let directory = (try? cgroup.hierarchy.directory(id: id)) ?? nil, overlaps(directory, cgroup)
      else { continue }
      let other = StateDirectory(path(ofInstance: base))
      rivals.append(
        RivalEnforcement(
          cgroup: directory.path.description, state: other.path, pins: pins.published, process: other.holder))
    }
    return rivals + (try unpinned(on: cgroup, besides: explained))
  }

  /// Programs of ours that no pin explains: an agent holds them whose pins were removed.
  private static func unpinned(
    on cgroup: CgroupDirectory, besides explained: Set<UInt32>
  ) throws(DatapathError) -> [RivalEnforcement] {
    var places: [CgroupDirectory] = []
    do throws(KernelError) {
      var path = cgroup.path
      while !path.components.isEmpty {
        path = path.removingLastComponent()
        if let above = try? cgroup.hierarchy.directory(at: path) { places.append(above) }
      }
      try cgroup.walk { directory throws(KernelError) in
        if !isProbe(directory) { places.append(directory) }
      }
    } catch {
      throw DatapathError("look for", "other agents", underlying: error)
    }
    let names = Set(Hook.all.map(\.program))
    var found: [RivalEnforcement] = []
    for place in places {
      for hook in Hook.all where hook.type == .cgroupEgress || hook.type == .cgroupConnect4 {
        guard let attached = try? CgroupAttachments.query(place.descriptor, hook.type) else { continue }
        let foreign = attached.programs.first { number in
          !explained.contains(number) && ((try? BPFProgram.numbered(number).name).map(names.contains) ?? false)
        }
        guard let foreign else { continue }
        found.append(
          RivalEnforcement(
            cgroup: place.path.description, state: nil, pins: nil, process: ProcessID.holding(program: foreign)))
        break
      }
    }
    return found
  }

  private static func overlaps(_ one: CgroupDirectory, _ other: CgroupDirectory) -> Bool {
    !isProbe(one) && (one.path.starts(with: other.path) || other.path.starts(with: one.path))
  }

  /// What tries the coverage of an agent, or whether programs attach, stands in a cgroup of its own for a moment.
  private static func isProbe(_ directory: CgroupDirectory) -> Bool {
    directory.path.components.contains { $0.string.hasPrefix("sallyport-coverage") || $0.string == "sallyport-trial" }
  }

  /// The state directory of an instance's name.
  static func path(ofInstance name: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(name.utf8)[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "-"): bytes.append(UInt8(ascii: "/"))
      case UInt8(ascii: "%"):
        let digits = String(decoding: rest.prefix(2), as: UTF8.self)
        rest = rest.dropFirst(2)
        bytes.append(UInt8(digits, radix: 16) ?? byte)
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension StateDirectory {
  /// The process that holds the lock; nil if nobody does.
  package var holder: ProcessID? {
    guard isThere(lock) else { return nil }
    do throws(KernelError) {
      _ = try FileLock.acquire(FilePath(lock), shared: true)
      return nil
    } catch {
      guard error.errno == .wouldBlock || error.errno == .resourceTemporarilyUnavailable else { return nil }
      let text = (try? readKernelFile(FilePath(lock))) ?? ""
      return Int32(text.prefix { $0 != "\n" }).map { ProcessID(rawValue: $0) }
    }
  }
}

extension ProcessID {
  /// A process that holds a link of a program, by what /proc tells of its descriptors.
  static func holding(program: UInt32) -> ProcessID? {
    for process in (try? ProcessID.all()) ?? [] {
      let directory = "/proc/\(process.rawValue)/fdinfo"
      for name in (try? directoryNames(directory)) ?? [] {
        guard let text = try? readKernelFile(FilePath("\(directory)/\(name)")), text.contains("link_id:") else {
          continue
        }
        if text.contains("prog_id:\t\(program)\n") { return process }
      }
    }
    return nil
  }
}
