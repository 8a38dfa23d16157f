// Asks sources about cgroups, a few at a time, and hands on what they say.
package import Kernel
package import Logging

/// What came from a source.
package enum SourceNews: Sendable {
  /// It answered about a cgroup.
  case answer(CgroupPlace, source: String, SourceLabels?)
  /// Something that it said may no longer hold.
  case change(SourceChange, source: String)
}

/// How one source is.
package struct SourceCondition: Sendable, Equatable {
  /// The source.
  package var name: String
  /// Why it cannot answer just now; nil when it can.
  package var fault: SourceFault?
  /// How many questions it answered.
  package var answered: UInt64 = 0
  /// How many it could not answer.
  package var failed: UInt64 = 0
}

/// Keeps questions to sources bounded and in the background: no source can hold up another, or the agent.
package actor SourceDesk {
  private struct Queue {
    let source: any LabelSource
    var condition: SourceCondition
    var waiting: [CgroupPlace] = []
    /// Asked again when the source is back.
    var unanswered: Set<CgroupPlace> = []
    var underWay: Set<CgroupPlace> = []
  }

  private var queues: [Queue]
  private let news: @Sendable (SourceNews) -> Void
  private let logger: Logger
  /// At once, of one source: enough to hide its latency, too little to be a load on it.
  private static let parallel = 4

  /// Hands everything that sources say to `news`, from any task.
  package init(sources: [any LabelSource], logger: Logger, news: @escaping @Sendable (SourceNews) -> Void) {
    queues = sources.map { Queue(source: $0, condition: SourceCondition(name: $0.name)) }
    self.news = news
    self.logger = logger
  }

  /// How each source is.
  package var conditions: [SourceCondition] { queues.map(\.condition) }

  /// Whether nobody is being asked.
  package var isIdle: Bool { queues.allSatisfy { $0.underWay.isEmpty && $0.waiting.isEmpty } }

  /// The cgroups about which some source has not answered yet, or could not.
  package var pending: Set<CgroupID> {
    Set(queues.flatMap { $0.waiting + $0.underWay + $0.unanswered }.map(\.cgroup))
  }

  /// Asks every source that claims these cgroups.
  package func ask(about places: [CgroupPlace]) {
    for index in queues.indices {
      queues[index].waiting += places.filter { queues[index].source.claims($0) }
      pump(index)
    }
  }

  /// Stops asking about cgroups that are gone.
  package func forget(_ gone: Set<CgroupID>) {
    for index in queues.indices {
      queues[index].waiting.removeAll { gone.contains($0.cgroup) }
      queues[index].unanswered = queues[index].unanswered.filter { !gone.contains($0.cgroup) }
    }
  }

  /// Follows all sources until the task is cancelled.
  package func run() async {
    await withDiscardingTaskGroup { group in
      for index in queues.indices {
        let source = queues[index].source
        let news = news
        group.addTask {
          await source.follow { change in
            news(.change(change, source: source.name))
          } report: { fault in
            Task { await self.report(fault, index) }
          }
        }
      }
    }
  }

  private func pump(_ index: Int) {
    // The newest first: its first packets are what the answer matters most to.
    while queues[index].underWay.count < Self.parallel, let place = queues[index].waiting.popLast() {
      let source = queues[index].source
      queues[index].underWay.insert(place)
      Task {
        let answer: Result<SourceLabels?, SourceFault>
        do throws(SourceFault) {
          answer = .success(try await source.ask(about: place))
        } catch {
          answer = .failure(error)
        }
        finish(index, place, answer)
      }
    }
  }

  private func finish(_ index: Int, _ place: CgroupPlace, _ answer: Result<SourceLabels?, SourceFault>) {
    queues[index].underWay.remove(place)
    switch answer {
    case .success(let labels):
      queues[index].condition.answered += 1
      report(nil, index)
      news(.answer(place, source: queues[index].source.name, labels))
    case .failure(let fault):
      queues[index].condition.failed += 1
      if fault.isPassing {
        queues[index].unanswered.insert(place)
      } else {
        // It will never know more.
        news(.answer(place, source: queues[index].source.name, nil))
      }
      report(fault, index)
    }
    pump(index)
  }

  /// Says a fault once, and its end.
  private func report(_ fault: SourceFault?, _ index: Int) {
    let before = queues[index].condition.fault
    queues[index].condition.fault = fault
    if let fault, fault != before { logger.warning("\(fault)") }
    guard fault == nil, before != nil else { return }
    logger.notice("\(queues[index].condition.name): answers again")
    queues[index].waiting += queues[index].unanswered
    queues[index].unanswered = []
    pump(index)
  }
}
