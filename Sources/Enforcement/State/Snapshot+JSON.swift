// Reading the snapshot back: whatever is in that file is checked.

internal import FoundationEssentials
internal import Kernel
internal import SystemPackage

extension Snapshot {
  /// Reads the snapshot that an agent wrote; nil if there is none.
  public static func read(from path: String) throws(DatapathError) -> Snapshot? {
    let bytes: [UInt8]
    do throws(KernelError) {
      bytes = try readKernelBytes(FilePath(path))
    } catch {
      if error.errno == .noSuchFileOrDirectory { return nil }
      throw DatapathError("read snapshot", path, underlying: error)
    }
    do {
      let snapshot = try JSONDecoder().decode(Snapshot.self, from: Data(bytes))
      guard snapshot.version == 1 else {
        throw DatapathError(
          "read snapshot", path, reason: "it has version \(snapshot.version), this program reads version 1",
          remedy: "use the program that wrote it")
      }
      return snapshot
    } catch let error as DatapathError {
      throw error
    } catch {
      throw DatapathError("read snapshot", path, underlying: error, remedy: "remove it; the agent writes a new one")
    }
  }
}
