// Labels from systemd: which unit a cgroup is, whose session, and what the operator wrote in the unit's files.
internal import Glibc
package import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage

/// Tells units, slices and sessions by the cgroup's path, and reads `[X-Sallyport]` of the unit's files.
///
/// | label | value | on |
/// |---|---|---|
/// | `sallyport.unit` | the system manager's unit, as systemd writes it | it and all below it, unless drawn at random |
/// | `sallyport.slice` | the innermost slice, unless drawn at random | it and all below it |
/// | `sallyport.user` | the user's name, else the number | the user's slice, sessions and own manager |
///
/// These help rules to match. Only what the operator wrote makes the unit's own cgroup a workload; what is below it
/// inherits that. Units of a user's own manager are never told: the user names them.
package final class SystemdUnits: LabelSource {
  /// What people know it by.
  package let name = "systemd"
  private let files: UnitFiles
  private let accounts: AccountNames
  private let state: Mutex<State>

  private struct State {
    /// Nil when the files cannot be watched: then they are read every time.
    var sentinel: FileSentinel?
    /// What a unit's files said; only while they are watched.
    var settings: [UnitName: Result<UnitSettings?, UnitSettingsError>] = [:]
  }

  /// Reads the files in these directories; `accounts` names the users.
  package init(files: UnitFiles = .standard, accounts: AccountNames = AccountNames()) {
    self.files = files
    self.accounts = accounts
    var state = State()
    state.sentinel = try? FileSentinel()
    if let sentinel = state.sentinel, (try? Self.watch(files, sentinel)) == nil { state.sentinel = nil }
    self.state = Mutex(state)
  }

  /// Whether the path is in any unit.
  package func claims(_ place: CgroupPlace) -> Bool { UnitPath(place.path, root: place.root) != nil }

  /// The unit's labels; what the operator wrote only on the unit's own cgroup.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
    guard let path = UnitPath(place.path, root: place.root) else { return nil }
    var labels: [Label] = []
    // A name that fits no label value is left out: nothing may be cut, or two units would share one.
    if !path.unit.isMachineMade, let label = try? Label("sallyport.unit", path.unit.text) { labels.append(label) }
    if let slice = Self.named(path.slice), let label = try? Label("sallyport.slice", slice.text) {
      labels.append(label)
    }
    if let owner = path.owner, let label = try? Label("sallyport.user", accounts.user(owner) ?? String(owner)) {
      labels.append(label)
    }
    let found = (try? LabelSet(labels)) ?? .empty
    var settings: UnitSettings?
    if path.isUnitItself {
      do throws(UnitSettingsError) {
        settings = try self.settings(of: path.unit)
      } catch {
        throw SourceFault(name, path.unit.text, "\(error)")
      }
    }
    guard let settings, !settings.labels.labels.isEmpty else {
      let warnings =
        settings == nil || settings == UnitSettings()
        ? [] : ["\(path.unit): [X-Sallyport] sets no labels, so Mode and Children mean nothing; add Labels="]
      guard !found.labels.isEmpty || !warnings.isEmpty else { return nil }
      return SourceLabels(found, name: path.unit.text, makesWorkload: false, warnings: warnings)
    }
    return SourceLabels(
      found.merging(settings.labels), name: path.unit.text, observe: settings.observe,
      rejectsUnlabelledChildren: settings.rejectsUnlabelledChildren)
  }

  /// The innermost slice that somebody gave its name.
  private static func named(_ slice: UnitName?) -> UnitName? {
    var slice = slice
    while let inner = slice, inner.isMachineMade { slice = inner.parentSlice.flatMap { UnitName($0) } }
    return slice
  }

  // MARK: Files

  private func settings(of unit: UnitName) throws(UnitSettingsError) -> UnitSettings? {
    let result = state.withLock { state -> Result<UnitSettings?, UnitSettingsError> in
      if let sentinel = state.sentinel, sentinel.hasChanged() {
        state.settings = [:]
        // New directories are watched before their files are read, so nothing that comes later is missed.
        if (try? Self.watch(files, sentinel)) == nil { state.sentinel = nil }
      }
      if let known = state.settings[unit] { return known }
      let read = Result { () throws(UnitSettingsError) in try files.settings(of: unit) }
      // Names of units that come and go are many; what is known of them can be read again.
      if state.settings.count >= 4096 { state.settings = [:] }
      if state.sentinel != nil { state.settings[unit] = read }
      return read
    }
    return try result.get()
  }

  /// The directories of units and of their drop-ins; for one that is not there yet, the nearest that is.
  private static func watch(_ files: UnitFiles, _ sentinel: FileSentinel) throws(KernelError) {
    for path in watchedPaths(files) { _ = try sentinel.watch(path) }
  }

  private static func watchedPaths(_ files: UnitFiles) -> [String] {
    var paths: Set<String> = []
    for directory in files.directories {
      let path = TrustedFile.nearest(directory)
      paths.insert(path)
      guard path == directory, let names = try? directoryNames(directory) else { continue }
      for name in names where name.hasSuffix(".d") { paths.insert("\(directory)/\(name)") }
    }
    return paths.sorted()
  }

  /// Tells which units' files change, until the task is cancelled.
  package func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async {
    while !Task.isCancelled {
      let paths = Self.watchedPaths(files)
      let watch: FileWatch
      do throws(KernelError) {
        watch = try FileWatch.start(paths.map { FilePath($0) }, mask: FileWatch.changes | UInt32(IN_ATTRIB))
      } catch {
        // One of them went meanwhile: look again. At a limit there is nothing to wait for.
        if error.errno == .noSuchFileOrDirectory { continue }
        report(SourceFault(name, "unit files", "\(error): changes are seen when units start", isPassing: false))
        return
      }
      report(nil)
      // What changed before this watch began was told by nobody.
      changed(.everything)
      if Self.watchedPaths(files) == paths { await tell(watch, paths, changed) }
      watch.stop()
    }
  }

  /// Tells of changes until other directories must be watched.
  private func tell(
    _ watch: FileWatch, _ paths: [String], _ changed: @Sendable (SourceChange) -> Void
  ) async {
    await withTaskCancellationHandler {
      for await batch in watch.events {
        var units: Set<String> = []
        var isEverything = false
        for event in batch {
          if let unit = unit(of: event) { units.insert(unit) } else { isEverything = true }
        }
        if isEverything { changed(.everything) } else { units.sorted().forEach { changed(.unit($0)) } }
        if Self.watchedPaths(files) != paths { return }
      }
    } onCancel: {
      watch.stop()
    }
  }

  /// The one unit that an event is about; nil when there may be several.
  private func unit(of event: FileEvent) -> String? {
    guard !event.isOverflow, let entry = event.name?.string else { return nil }
    let isTop = files.directories.contains(event.path.string)
    guard let folder = isTop ? entry : event.path.lastComponent?.string else { return nil }
    let name = folder.hasSuffix(".d") ? String(folder.dropLast(2)) : folder
    guard let unit = UnitName(name), !unit.stem.contains("-@"), !unit.stem.hasSuffix("-") else { return nil }
    return unit.text
  }
}
