// Workloads whose cgroups are gone stay in force for their sockets: here it is found out when the last of them is gone.
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import Workloads

/// When which ended workload is to be looked at.
struct EndedReview: Sendable {
  /// What is known of one.
  private struct Look {
    var next: UInt64
    var interval: UInt64
    /// How many looks in a row found no socket.
    var missing = 0
  }

  /// The first look, and the longest time between two.
  private static let first: UInt64 = 5_000_000_000
  private static let longest: UInt64 = 300_000_000_000
  /// So many looks without a socket are believed, where the kernel says nothing.
  private static let enough = 4

  private var looks: [CgroupID: Look] = [:]
  /// Those that nothing in the kernel refers to any more, as it says itself, and since when; flows may still name them.
  private(set) var released: [CgroupID: UInt64] = [:]

  /// Takes what the kernel said about cgroups that were removed; what was no workload is forgotten soon.
  mutating func note(released ids: [CgroupID]) {
    guard !ids.isEmpty else { return }
    let now = Clock.monotonicNanoseconds()
    for id in ids { released[id] = now }
  }

  /// Which of the ended workloads are to be looked for among the sockets now: at most `limit`.
  mutating func due(_ ended: [CgroupID: UInt64], at now: UInt64, limit: Int) -> Set<CgroupID> {
    released = released.filter { ended[$0.key] != nil || now < $0.value + Self.first }
    if looks.count > 2 * ended.count + 64 { looks = looks.filter { ended[$0.key] != nil } }
    var due: Set<CgroupID> = []
    for (id, since) in ended where released[id] == nil && due.count < limit {
      let look = looks[id] ?? Look(next: since + Self.first, interval: Self.first)
      looks[id] = look
      if look.next <= now { due.insert(id) }
    }
    return due
  }

  /// Takes what a look found; returns those of which no socket was found often enough.
  mutating func note(_ asked: Set<CgroupID>, withSockets held: Set<CgroupID>, at now: UInt64) -> Set<CgroupID> {
    var absent: Set<CgroupID> = []
    for id in asked {
      guard var look = looks[id] else { continue }
      look.missing = held.contains(id) ? 0 : look.missing + 1
      look.interval = min(look.interval * 2, Self.longest)
      look.next = now + look.interval
      looks[id] = look
      if look.missing >= Self.enough { absent.insert(id) }
    }
    return absent
  }
}

/// Lets ended workloads go once nothing refers to them.
///
/// The kernel says when a cgroup's last reference is dropped, and a socket is one. Charges of the memory controller may
/// keep it long after, and an event may be lost, so the sockets are looked at too, ever more seldom. What is remembered of
/// flows and conversations counts as well: the other end may outlive all that the workload had.
final class EndedTicker: Service {
  private let agent: Agent
  private let root: CgroupDirectory
  private let sweeper: ConversationSweeper
  private let live: LiveFlows
  private let logger: Logger
  /// When flows were last compared with the sockets that there are; a minute lies between two times.
  private let tidied = Mutex<UInt64>(Clock.monotonicNanoseconds())
  private static let tidying: UInt64 = 60_000_000_000

  init(agent: Agent, root: CgroupDirectory, sweeper: consuming ConversationSweeper, live: LiveFlows, logger: Logger) {
    self.agent = agent
    self.root = root
    self.sweeper = sweeper
    self.live = live
    self.logger = logger
  }

  func run() async throws {
    var rest: UInt64 = 0
    for await _ in Ticker.every(.seconds(1)).cancelOnGracefulShutdown() {
      let began = Clock.monotonicNanoseconds()
      guard began >= rest, let question = await agent.endedQuestion(at: began) else { continue }
      var answer = EndedAnswer(all: question.all, asked: question.due)
      if !question.due.isEmpty { answer.held = sockets(of: question.due) }
      answer.mentioned = mentioned(question.all, at: began)
      do { answer.mentioned.formUnion(try sweeper.mentioned(among: question.all)) } catch {
        // What cannot be read may name all of them.
        answer.mentioned = question.all
        logger.error("\(error)")
      }
      await agent.letGo(answer)
      // At most a twentieth of the time goes into looking.
      let ended = Clock.monotonicNanoseconds()
      rest = ended + 20 * (ended - began)
    }
  }

  /// Which of the workloads remembered flows name; flows whose close was lost are forgotten now and then.
  private func mentioned(_ workloads: Set<CgroupID>, at now: UInt64) -> Set<CgroupID> {
    let named = live.mentioned(among: workloads)
    let isDue = tidied.withLock { last in
      guard !named.isEmpty, now > last + Self.tidying else { return false }
      last = now
      return true
    }
    guard isDue else { return named }
    do {
      var cookies: Set<UInt64> = []
      for namespace in try NetworkNamespace.ofAllProcesses() {
        for socket in try SocketDiagnostics.open(in: namespace).list() { cookies.insert(socket.cookie) }
      }
      live.forget(missingFrom: cookies, before: now)
    } catch {
      return named
    }
    return live.mentioned(among: workloads)
  }

  /// Which of the cgroups have sockets, in whatever namespace a process lives; all of them where that cannot be seen.
  private func sockets(of cgroups: Set<CgroupID>) -> Set<CgroupID> {
    do {
      var found: Set<CgroupID> = []
      for namespace in try NetworkNamespace.ofAllProcesses() {
        let listed = try SocketDiagnostics.open(in: namespace).list(where: .cgroups(cgroups))
        found.formUnion(listed.compactMap(\.cgroup))
      }
      return found
    } catch {
      logger.warning("sockets of ended workloads: \(error)")
      return cgroups
    }
  }
}

/// Which ended workloads there are, and which of them to look for among the sockets.
struct EndedQuestion: Sendable {
  var all: Set<CgroupID>
  var due: Set<CgroupID>
}

/// What a look found.
struct EndedAnswer: Sendable {
  var all: Set<CgroupID>
  var asked: Set<CgroupID>
  var held: Set<CgroupID> = []
  /// Flows or conversations name them.
  var mentioned: Set<CgroupID> = []
}

extension Agent {
  /// What is to be looked at; nil when no workload ended.
  func endedQuestion(at now: UInt64) async -> EndedQuestion? {
    let ended = await enforcer.endedWorkloads
    let due = review.due(ended, at: now, limit: SocketFilter.limit)
    await noteEnded(ended.count)
    let released = review.released.keys.filter { ended[$0] != nil }
    guard !due.isEmpty || !released.isEmpty else { return nil }
    return EndedQuestion(all: due.union(released), due: due)
  }

  /// Removes the rows of those that nothing refers to.
  func letGo(_ answer: EndedAnswer) async {
    let absent = review.note(
      answer.asked, withSockets: answer.held.union(answer.mentioned), at: Clock.monotonicNanoseconds())
    await enforcer.noteHeld(answer.held)
    // Only those that were asked about: who else is mentioned is not known.
    let free = answer.all.filter { review.released[$0] != nil || absent.contains($0) }.subtracting(answer.mentioned)
    guard !free.isEmpty else { return }
    do {
      try await enforcer.letGo(free)
      await noteEnded(enforcer.endedWorkloads.count)
    } catch {
      report.failures += 1
    }
  }

  private func noteEnded(_ count: Int) async {
    let early = await enforcer.endedLetGoEarly
    guard report.ended != count || report.endedLetGoEarly != early else { return }
    report.ended = count
    report.endedLetGoEarly = early
    await publishReport()
  }
}
