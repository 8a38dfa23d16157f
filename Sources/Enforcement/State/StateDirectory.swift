// The agent's own files: the lock that makes it the only writer, and the snapshot that readers show.

internal import Kernel
internal import SystemPackage

/// The state directory, normally `/run/sallyport`.
package struct StateDirectory: Sendable, Hashable {
  /// Where it is when nobody says otherwise.
  package static let standardPath = "/run/sallyport"

  /// The absolute path, without a slash at its end.
  package let path: String

  /// Takes an absolute path; nothing is made yet.
  package init(_ path: String = StateDirectory.standardPath) {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
  }

  /// Held by the one agent that writes.
  package var lock: String { "\(path)/lock" }
  /// What readers show.
  package var snapshot: String { "\(path)/snapshot.json" }
  /// One flow record per line.
  package var flows: String { "\(path)/flows.jsonl" }
  /// Where the agent takes requests.
  package var controlSocket: String { "\(path)/control.sock" }

  /// The name under which the kernel's state of this directory is pinned.
  ///
  /// Injective, and without dots, which bpffs refuses: `/` becomes `-`, letters, digits and `_` stay, every other byte
  /// becomes `%XX`.
  package var instance: String {
    var name = ""
    for byte in path.utf8 {
      switch byte {
      case UInt8(ascii: "/"): name += "-"
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"):
        name.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        name += "%" + (digits.count == 1 ? "0" : "") + digits
      }
    }
    return name
  }
}

/// The right to write, held as long as this object lives.
final class StateLock: Sendable {
  private let lock: FileLock

  init(_ lock: consuming FileLock) { self.lock = lock }
}

extension StateDirectory {
  /// Makes the directory if it is missing (its parent must be there), and becomes the only writer.
  func acquire() throws(DatapathError) -> StateLock {
    do throws(KernelError) {
      try makeDirectory(path, mayExist: true)
      if (try? FileKind.at(lock)) == .directory { _ = Self.setAside(lock) }
      return StateLock(try FileLock.acquire(FilePath(lock)))
    } catch {
      guard error.errno == .wouldBlock || error.errno == .resourceTemporarilyUnavailable else {
        throw DatapathError(
          error.operation, error.subject, reason: KernelError.describe(error.errno), underlying: error,
          remedy: error.remedy)
      }
      throw DatapathError(
        "lock", lock, reason: "another agent is running" + (error.remedy.map { ", \($0)" } ?? ""),
        underlying: error, remedy: "stop it first; `sallyport status --state \(path)` shows how it is")
    }
  }

  /// Removes what killed agents left half-written, and sets aside what is in the place of a file and is none.
  ///
  /// For the agent that holds the lock. Returns what was set aside, in words.
  package func tidy() -> [String] {
    let files = ["snapshot.json", "agent.json", "coverage.json", "flows.jsonl"]
    var done: [String] = []
    for name in (try? directoryNames(path)) ?? [] {
      let place = "\(path)/\(name)"
      let parts = name.split(separator: ".new.", omittingEmptySubsequences: false)
      if parts.count == 2, files.contains(String(parts[0])), Int32(parts[1]) != nil {
        try? removeFile(place)
      } else if files.contains(name), (try? FileKind.at(place)) != .regular {
        done.append(Self.setAside(place))
      } else if place == controlSocket, (try? FileKind.at(place)) == .directory {
        done.append(Self.setAside(place))
      }
    }
    return done
  }

  private static func setAside(_ place: String) -> String {
    if (try? removeFile(place)) != nil { return "\(place) was no file: removed" }
    let other = "\(place).aside.\(Clock.wallNanoseconds())"
    if (try? move(place, to: other)) != nil { return "\(place) was no file: moved to \(other)" }
    return "\(place) is no file and cannot be moved: remove it"
  }
}
