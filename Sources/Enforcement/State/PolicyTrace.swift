// Whether a policy path still leads where it led: what inotify does not tell of is found out by looking.

internal import Glibc
internal import Kernel

/// Where a policy path leads, and what is read there, by inodes.
///
/// inotify follows an inode. It says nothing when a symbolic link, a mount or another directory takes the place of what it
/// follows, nor when the file behind a link is written. Comparing two traces does.
package struct PolicyTrace: Sendable, Equatable {
  /// An inode and how it is reached.
  private struct Place: Sendable, Equatable {
    let device: UInt64
    let inode: UInt64
    let mount: UInt64

    init(_ identity: FileIdentity) {
      device = identity.device
      inode = identity.inode
      mount = identity.mount
    }
  }

  /// What is known of an entry.
  private enum Entry: Sendable, Equatable {
    /// It is there; its contents are inotify's to tell.
    case followed
    /// It is reached in another way than by its directory alone, and compared by its state.
    case looked(Place, size: UInt64, changed: Int64)
    /// A link that leads nowhere, or a directory.
    case none
  }

  private var directory: Place?
  private var entries: [String: Entry] = [:]

  /// Whether the path leads to something.
  package var isThere: Bool { directory != nil }

  /// Whether both were taken in the same directory, so that a watch on it is still worth something.
  package func isInSameDirectory(as other: PolicyTrace) -> Bool { directory == other.directory }

  /// Whether everything that is compared is the same.
  package func isSame(as other: PolicyTrace) -> Bool { self == other }

  /// Looks at a path; `everything` = also at what inotify tells of, for where it cannot.
  init(_ path: String, everything: Bool) {
    guard let found = FileIdentity.at(path) else { return }
    if found.isDirectory {
      directory = Place(found)
      for name in (try? directoryNames(path)) ?? [] where PolicyDirectory.isDocument(name) || !name.hasPrefix(".") {
        let file = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
        let entry = Self.entry(file, in: found, everything && PolicyDirectory.isDocument(name))
        if entry != .followed { entries[name] = entry }
      }
    } else {
      let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      guard let parent = FileIdentity.at(parent.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : parent) else { return }
      directory = Place(parent)
      entries[path] = Self.entry(path, in: parent, everything)
    }
  }

  private static func entry(_ file: String, in directory: FileIdentity, _ everything: Bool) -> Entry {
    var own = stat()
    guard unsafe lstat(file, &own) == 0, let identity = FileIdentity.at(file) else { return .none }
    guard identity.isRegular else {
      return identity.isDirectory ? .none : .looked(Place(identity), size: 0, changed: 0)
    }
    let isLink = own.st_mode & S_IFMT == S_IFLNK
    let isElsewhere = identity.device != directory.device || identity.mount != directory.mount
    guard isLink || own.st_nlink > 1 || isElsewhere || everything else { return .followed }
    return .looked(Place(identity), size: identity.size, changed: identity.changed)
  }
}

extension PolicyDirectory {
  /// What the path leads to now; `everything` = also what inotify would tell of.
  package func trace(everything: Bool = false) -> PolicyTrace { PolicyTrace(path, everything: everything) }
}
