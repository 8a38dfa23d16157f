// Ends UDP, ICMP and other conversations that have gone silent, since no packet will say so.
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import Workloads

/// Sweeps now and then; the flow log gets a close for every conversation that ended.
final class ConversationSweep: Service {
  private let sweeper: ConversationSweeper
  private let pipeline: FlowPipeline
  private let logger: Logger

  init(sweeper: consuming ConversationSweeper, pipeline: FlowPipeline, logger: Logger) {
    self.sweeper = sweeper
    self.pipeline = pipeline
    self.logger = logger
  }

  func run() async throws {
    var mostInUse = 0
    for await _ in Ticker.every(.seconds(5)).cancelOnGracefulShutdown() {
      do {
        try sweeper.sweep(now: Clock.monotonicNanoseconds()) { pipeline.consume($0) }
      } catch {
        logger.error("\(error)")
      }
      // What a flood took goes back once it is over.
      let inUse = Heap.bytesInUse
      mostInUse = max(mostInUse, inUse)
      if mostInUse - inUse > 4 << 20 {
        Heap.trim()
        mostInUse = inUse
      }
    }
  }
}
