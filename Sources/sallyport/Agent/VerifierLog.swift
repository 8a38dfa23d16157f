// `STATE/verifier.log`: everything that the kernel's verifier said when it refused a program.
internal import Enforcement
internal import Kernel
internal import Logging
internal import SystemPackage

enum VerifierLog {
  /// Keeps what the verifier said, if it did, and says where; with --verbose it is in the log as well.
  static func keep(_ error: DatapathError, in state: StateDirectory, logger: Logger) {
    guard let text = error.fullLog, !text.isEmpty else { return }
    let path = FilePath("\(state.path)/verifier.log")
    do {
      try replaceFile(path, with: Array("\(error.problem)\n\n\(text)".utf8))
      logger.notice("the verifier's whole log is in \(path)")
    } catch {
      logger.warning("the verifier's log could not be kept: \(error)")
    }
    for line in text.split(separator: "\n") { logger.debug("verifier: \(line)") }
  }
}
