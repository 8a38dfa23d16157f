// Pins that were removed while what they led to lives on: found by what is left, and made again.

internal import BPF
internal import Kernel
internal import SystemPackage

extension PinnedState {
  /// The tables without which no verdict can be told or changed.
  private static let tables = [
    "sp_active", "sp_control", "sp_workload", "sp_classes", "sp_ports", "sp_policy", "sp_networks", "sp_counts",
    "sp_stats", "sp_records", PinnedState.configName,
  ]

  /// Pins again what is missing: links lead to programs, programs to maps, and maps to programs that rules hold.
  ///
  /// - Parameter everything: also where no table is missing: a pin of another map may be.
  /// - Returns: the names of what was pinned.
  /// - Throws: when a table is missing that nothing leads to; what is attached stays as it is.
  func repair(everything: Bool = false) throws(DatapathError) -> [String] {
    do throws(BPFError) {
      var done: [String] = []
      do throws(KernelError) {
        for part in ["maps", "programs", "links"] { try makeDirectory("\(published)/\(part)", mayExist: true) }
      } catch { throw BPFError(error) }
      if everything || isMissing("programs", object.programs) || isMissing("maps", Self.tables) {
        let held = try living()
        for (name, number) in held.programs.sorted(by: { $0.key < $1.key }) where !isThere(program(name)) {
          try BPFProgram.numbered(number).pin(at: program(name))
          done.append("programs/\(name)")
        }
        for (name, number) in held.maps.sorted(by: { $0.key < $1.key }) where !isThere(map(name)) {
          try OwnedDescriptor.map(numbered: number).pin(at: map(name))
          done.append("maps/\(name)")
        }
      }
      let lost =
        Self.tables.filter { !isThere(map($0)) }.map { "maps/\($0)" }
        + object.programs.filter { !isThere(program($0)) }.map { "programs/\($0)" }
      guard lost.isEmpty else {
        throw BPFError(
          "find", lost.joined(separator: ", "), .noSuchFileOrDirectory, remedy: "nothing that is left leads there")
      }
      return done
    } catch {
      throw DatapathError(
        "adopt", published, underlying: error,
        remedy: "what is attached goes on as it is; run `sallyport detach` with this state directory, then start again")
    }
  }

  private func isMissing(_ part: String, _ names: [String]) -> Bool {
    names.contains { !isThere("\(published)/\(part)/\($0)") }
  }

  /// The programs and maps of this instance, by the names of their pins, as far as anything leads to them.
  private func living() throws(BPFError) -> (programs: [String: UInt32], maps: [String: UInt32]) {
    var programs: [String: UInt32] = [:]
    var maps: [String: UInt32] = [:]
    func follow(_ program: borrowing BPFProgram) throws(BPFError) {
      for number in try program.mapNumbers() {
        let info = try MapInfo(of: OwnedDescriptor.map(numbered: number))
        if let pin = Self.pin(ofMap: info.name) { maps[pin] = number }
      }
    }
    for name in try list("links") {
      // A link that was detached has no program.
      let link = try PinnedLink.open(link(name)).info()
      guard let program = try? BPFProgram.numbered(link.programID) else { continue }
      programs[name] = program.id
      try follow(program)
    }
    for name in try list("programs") {
      let program = try BPFProgram.pinned(program(name))
      if programs[name] == nil { programs[name] = program.id }
      try follow(program)
    }
    // Rules hold programs that have no links: those that use our maps are ours, the newest is in force.
    let known = Set(try list("maps").map { name throws(BPFError) in try mapNumber(name) } + maps.values)
    let wanted = Set(EmbeddedObject.of(kind).flatMap(\.programs)).subtracting(programs.keys)
    if !wanted.isEmpty, !known.isEmpty {
      for number in BPFProgram.allNumbers() {
        guard let program = try? BPFProgram.numbered(number), let name = wanted.first(where: { $0 == program.name }),
          try !known.isDisjoint(with: program.mapNumbers())
        else { continue }
        programs[name] = number
        try follow(program)
      }
    }
    return (programs, maps)
  }

  private func mapNumber(_ name: String) throws(BPFError) -> UInt32 {
    try MapInfo(of: OwnedDescriptor.pinned(map(name), "map")).id
  }

  private func list(_ part: String) throws(BPFError) -> [String] {
    do throws(KernelError) { return try directoryNames("\(published)/\(part)") } catch { throw BPFError(error) }
  }

  /// Under which name a map is pinned: its own, or that of its section.
  ///
  /// Nil for those that are not pinned: bpffs takes no dots.
  private static func pin(ofMap name: String) -> String? {
    switch name {
    case _ where name.hasSuffix(".rodata.config"): configName
    // Names of maps are cut to 15 characters.
    case _ where name.contains(".rodata.netfil"): pin(of: ".rodata.netfilter")
    case _ where name.hasSuffix(".rodata.mark"): pin(of: ".rodata.mark")
    default: name.contains(".") ? nil : name
    }
  }
}
