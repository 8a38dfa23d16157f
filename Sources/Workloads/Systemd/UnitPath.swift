// Which systemd unit a cgroup belongs to, told by its path so that nobody inside a unit can pretend to be another.

/// The place of a cgroup among the units of systemd.
///
/// Only the system manager makes directories in slices, so the walk begins at the root of the hierarchy, follows slices
/// that nest as systemd.slice(5) demands (`a-b.slice` in `a.slice`), and ends at the first directory that is no such
/// slice. That directory is the unit; everything below it was made by whoever runs there and is never a unit, whatever
/// it is called. Below `user@UID.service` a user's own manager names units: those are told apart as `userUnit`.
/// ```
/// /system.slice/nginx.service/evil.service      unit nginx.service, slice system.slice, not the unit's own directory
/// /user.slice/user-7.slice/user@7.service/app.slice/nginx.service
///                                               unit user@7.service, userUnit nginx.service, owner 7
/// ```
package struct UnitPath: Sendable, Hashable {
  /// The unit of the system manager; a slice when the cgroup is one, or is in one and in no other unit.
  package let unit: UnitName
  /// Whether the cgroup is the unit's own directory, not one below it.
  package let isUnitItself: Bool
  /// The innermost slice of the system manager, the unit itself if it is one; nil for the root slice.
  package let slice: UnitName?
  /// The unit of the user's own manager, whose name the user chose; nil outside `user@UID.service`.
  package let userUnit: UnitName?
  /// Whose it is, if it is a user's slice, session or manager.
  package let owner: UInt32?
  /// The number of the login session.
  package let session: String?
  /// How many directories below the root of the hierarchy the unit's own one is.
  package private(set) var level: Int

  /// Reads a path below the root of the hierarchy; nil when it is in no unit.
  ///
  /// `root` is the cgroup that is watched. Where it lies inside something that is no slice, such as a container with a
  /// systemd of its own, the walk begins anew at it: the operator chose it, and nobody below it did.
  package init?(_ path: String, root: String = "/") {
    let components = path.split(separator: "/")
    let above = root.split(separator: "/")
    guard let found = Self.walk(components[...]) else {
      guard let found = Self.walkAnew(components, above) else { return nil }
      self = found
      return
    }
    // A user's manager stays one, wherever the watch begins.
    let endsAboveRoot = found.consumed < above.count || (found.consumed == above.count && !found.endsInSlice)
    if endsAboveRoot, components.count > above.count, found.path.userUnit == nil, !found.path.isUserManager,
      components.starts(with: above)
    {
      guard let found = Self.walkAnew(components, above) else { return nil }
      self = found
    } else {
      self = found.path
    }
  }

  private static func walkAnew(_ components: [Substring], _ above: [Substring]) -> UnitPath? {
    guard !above.isEmpty, components.starts(with: above) else { return nil }
    var path = walk(components.dropFirst(above.count))?.path
    path?.level += above.count
    return path
  }

  private init(
    unit: UnitName, isUnitItself: Bool, slice: UnitName?, userUnit: UnitName? = nil, owner: UInt32? = nil,
    session: String? = nil, level: Int
  ) {
    self.unit = unit
    self.isUnitItself = isUnitItself
    self.slice = slice
    self.userUnit = userUnit
    self.owner = owner
    self.session = session
    self.level = level
  }

  private var isUserManager: Bool { owner != nil && unit.text.hasPrefix("user@") }

  private struct Walk {
    let path: UnitPath
    /// How many components led to the unit.
    let consumed: Int
    let endsInSlice: Bool
  }

  private static func walk(_ components: ArraySlice<Substring>) -> Walk? {
    var slices: [UnitName] = []
    var rest = components
    while let name = rest.first.flatMap({ UnitName(directory: $0) }), name.kind == .slice, name.text != "-.slice",
      name.parentSlice == slices.last?.text
    {
      slices.append(name)
      rest = rest.dropFirst()
    }
    let slice = slices.last
    let isUserSlice = slices.count == 2 && slices.first?.text == "user.slice"
    let user = isUserSlice ? slice.flatMap { number($0.stem.dropFirst("user-".count)) } : nil
    guard let name = rest.first.flatMap({ UnitName(directory: $0) }), name.kind != .slice else {
      guard let slice else { return nil }
      let path = UnitPath(
        unit: slice, isUnitItself: rest.isEmpty, slice: slice, owner: rest.isEmpty ? user : nil,
        level: slices.count)
      return Walk(path: path, consumed: slices.count, endsInSlice: true)
    }
    let below = rest.dropFirst()
    var owner: UInt32?
    var userUnit: UnitName?
    var session: String?
    if let user, name.text == "user@\(user).service" {
      owner = user
      userUnit = walk(below)?.path.unit
    } else if let user, name.kind == .scope, name.stem.hasPrefix("session-") {
      owner = user
      session = String(name.stem.dropFirst("session-".count))
    }
    let path = UnitPath(
      unit: name, isUnitItself: below.isEmpty, slice: slice, userUnit: userUnit, owner: owner, session: session,
      level: slices.count + 1)
    return Walk(path: path, consumed: slices.count + 1, endsInSlice: false)
  }

  /// A user id as systemd writes it: no sign, no leading zero.
  private static func number(_ text: Substring) -> UInt32? {
    guard let number = UInt32(text), String(number) == text else { return nil }
    return number
  }
}
