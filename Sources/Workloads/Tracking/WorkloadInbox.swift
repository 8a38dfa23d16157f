// What was told about workloads and nobody has looked at yet.
internal import Synchronization

/// A bounded box between whoever tells, on any thread, and the one loop that looks.
package final class WorkloadInbox: Sendable {
  private struct Contents {
    var events: [WorkloadEvent] = []
    var news: [SourceNews] = []
  }

  private let contents = Mutex(Contents())
  /// A look at everything costs about as much as these one by one.
  private static let limit = 65536

  /// Makes an empty one.
  package init() {}

  /// Adds events; too many of them become one `.unknown`.
  package func put(_ events: [WorkloadEvent]) {
    contents.withLock { contents in
      contents.events += events
      if contents.events.count > Self.limit { contents.events = [.unknown] }
    }
  }

  /// Adds what a source said.
  package func put(_ news: SourceNews) { contents.withLock { $0.news.append(news) } }

  /// Takes everything out, in the order in which it came.
  package func take() -> (events: [WorkloadEvent], news: [SourceNews]) {
    contents.withLock { contents in
      defer { contents = Contents() }
      return (contents.events, contents.news)
    }
  }
}

extension WorkloadTracker {
  /// Applies everything that waits in an inbox.
  package mutating func drain(_ inbox: WorkloadInbox) throws -> TrackerUpdate {
    let told = inbox.take()
    var update = try apply(told.events)
    for news in told.news {
      switch news {
      case .answer(let place, let source, let labels):
        update.append(learn(labels, from: source, about: place.cgroup))
      case .change(let change, let source): update.append(reconsider(change, of: source))
      }
    }
    return update
  }
}
