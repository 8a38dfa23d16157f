// `STATE/agent.json`: what the agent last said about itself, for readers when it is gone.
internal import Kernel
internal import Logging
internal import SystemPackage

struct ReportFile: Sendable {
  let path: FilePath
  let logger: Logger

  /// Replaces the file whole; a failure is logged and nothing more, since enforcement does not hang on it.
  func write(_ report: AgentReport) {
    do {
      try replaceFile(path, with: try Document.line(report))
    } catch {
      logger.warning("\(path): \(error)")
    }
  }
}
