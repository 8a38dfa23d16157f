// Files whose labels are believed: those that nobody but root can write to.
internal import Glibc
internal import Kernel
internal import SystemPackage

enum TrustedFile {
  /// Which of a file and its directory others than root can write to; nil if neither.
  static func writable(_ path: String) -> String? {
    let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    return [path, directory].first { checked in
      var status = stat()
      guard unsafe stat(checked, &status) == 0 else { return false }
      return status.st_uid != 0 || status.st_mode & (S_IWGRP | S_IWOTH) != 0
    }
  }

  /// The path itself, or its nearest ancestor that is there: where its coming will be seen.
  static func nearest(_ path: String) -> String {
    var path = FilePath(path)
    while !isThere(path.string), path.removeLastComponent() {}
    return path.isEmpty ? "." : path.string
  }
}
