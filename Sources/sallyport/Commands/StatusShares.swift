// The lines of `sallyport status` about what is shared out: who holds how much, and what was lost of whose.
internal import Enforcement
internal import Evidence

/// Conversations and evidence: how full, who has most, what was lost.
struct SharesReport: Encodable {
  /// Who has how many of something.
  struct Holder: Encodable {
    var workload: String
    var direction: String?
    var count: UInt64
  }

  /// Conversations of UDP, ICMP and others that are held now.
  var conversations: Int?
  var conversationLimit: Int?
  /// Who holds most of them.
  var topConversations: [Holder] = []
  /// Whose conversations ended early because its share was used up, since enforcement began.
  var evicted: [Holder] = []
  /// Whose records were lost before the agent could read them.
  var recordsLost: [Holder] = []
  /// Flow records that could not be written.
  var flowsLost: Int?
  var flowLogFault: String?

  private static let shown = 3

  init(_ counters: DatapathCounters?, _ snapshot: Snapshot, _ report: AgentReport?) {
    flowsLost = report?.flowsDropped
    flowLogFault = report?.flowLogFault
    guard let counters else { return }
    let named = Counters(counters, snapshot: snapshot)
    conversations = counters.conversations.reduce(0) { $0 + $1.held }
    conversationLimit = ConversationShare.capacity
    topConversations = named.holders.prefix(Self.shown).map {
      Holder(workload: $0.workload, direction: $0.direction, count: UInt64($0.held))
    }
    func most(_ reason: String) -> [Holder] {
      named.rows.filter { $0.reason == reason }.sorted { $0.count > $1.count }.prefix(Self.shown).map {
        Holder(workload: $0.workload, direction: $0.direction == "-" ? nil : $0.direction, count: $0.count)
      }
    }
    evicted = most("evicted")
    recordsLost = most("records-lost")
  }

  /// Lines for people: name and value.
  var lines: [(String, String)] {
    var lines: [(String, String)] = []
    if let conversations, let conversationLimit {
      let most = Self.text("; most: ", topConversations)
      lines.append(("conversations", "\(conversations) of \(conversationLimit)\(most)"))
    }
    if !evicted.isEmpty { lines.append(("ended early", "share used up" + Self.text(": ", evicted))) }
    if !recordsLost.isEmpty { lines.append(("records lost of", Self.text("", recordsLost))) }
    if let flowsLost, flowsLost > 0 {
      lines.append(("flow log", "\(flowsLost) records not written" + (flowLogFault.map { "; \($0)" } ?? "")))
    }
    return lines
  }

  private static func text(_ prefix: String, _ holders: [Holder]) -> String {
    guard !holders.isEmpty else { return "" }
    return prefix
      + holders.map { "\($0.workload)" + ($0.direction.map { " \($0)" } ?? "") + " \($0.count)" }
      .joined(separator: ", ")
  }
}
