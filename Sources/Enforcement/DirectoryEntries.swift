// The names in a directory, sorted; what the module knows of readdir(3).

internal import Glibc

/// Why a directory could not be listed.
struct DirectoryError: Error {
  let errno: Int32
}

/// The names in a directory but `.` and `..`, sorted by their bytes; names that are not UTF-8 are repaired.
func directoryEntries(_ path: String) throws(DirectoryError) -> [String] {
  guard let directory = unsafe opendir(path) else { throw DirectoryError(errno: errno) }
  defer { unsafe closedir(directory) }
  var names: [String] = []
  while let entry = unsafe readdir(directory) {
    let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}
