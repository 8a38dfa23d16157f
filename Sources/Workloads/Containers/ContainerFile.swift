// Files that engines leave, read with the patience that they need: none.
internal import Kernel
internal import SystemPackage

/// The bytes of an engine's file; nil when there is none.
///
/// - Throws: for what is there and cannot be read, is no regular file, or is larger than 1 MiB. A file that changed while
///   it was read is a passing fault: the engine is asked anyway.
func readFile(_ path: String, source: String) throws(SourceFault) -> [UInt8]? {
  do {
    return try readRegularFile(path, limit: 1 << 20)
  } catch {
    switch error.errno {
    case .noSuchFileOrDirectory, .notDirectory: return nil
    default: throw SourceFault(source, path, KernelError.describe(error.errno), remedy: error.remedy ?? "")
    }
  }
}
