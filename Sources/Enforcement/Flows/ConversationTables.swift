// The kernel's conversations and whose share they count for: the agent's side of lib/share.h and lib/queue.h.

package import BPF
package import CDatapath
internal import Kernel
internal import Policy

/// Who a conversation counts for: the workload that it is of, and who began.
struct ConversationUser: Hashable, Sendable {
  /// 0 = the host.
  var workload: UInt64
  /// The byte of `enum sp_direction` as it lies in the kernel.
  var direction: UInt8

  init(workload: UInt64, direction: UInt8) {
    self.workload = workload
    self.direction = direction
  }

  init(_ key: sp_share_key) { self.init(workload: key.workload, direction: UInt8(truncatingIfNeeded: key.direction)) }
  init(_ talk: sp_conv) { self.init(workload: talk.owner, direction: talk.direction.rawValue) }

  var key: sp_share_key { Rows.share(self) }
}

/// The maps, open.
package final class ConversationTables: Sendable {
  /// One number for each lane.
  typealias Lanes = InlineArray<8, UInt32>

  package let talks: BPFMap<sp_conv_key, sp_conv>
  package let queue: BPFMap<sp_queue_key, sp_conv_key>
  package let shares: BPFMap<sp_share_key, sp_share>
  package let swept: BPFMap<sp_share_key, sp_swept>
  package let pool: BPFMap<UInt32, sp_pool>
  package let workloads: BPFMap<UInt64, sp_workload>

  /// Maps of their own, without programs.
  package init(entries: Int) throws(BPFError) {
    let flags: UInt32 = 1  // BPF_F_NO_PREALLOC
    talks = try .create(.hash, name: "sp_convs", maxEntries: entries, flags: flags)
    queue = try .create(.hash, name: "sp_queue", maxEntries: entries, flags: flags)
    shares = try .create(.hash, name: "sp_shares", maxEntries: entries, flags: flags)
    swept = try .create(.hash, name: "sp_swept", maxEntries: entries, flags: flags)
    pool = try .create(.array, name: "sp_pool", maxEntries: Int(SP_POOL_COUNT))
    workloads = try .create(.hash, name: "sp_workload", maxEntries: entries, flags: flags)
  }

  /// Opens what is pinned at the paths of these names.
  init(maps path: (String) -> String) throws(BPFError) {
    talks = try .pinned(path("sp_convs"), type: .hash)
    queue = try .pinned(path("sp_queue"), type: .hash)
    shares = try .pinned(path("sp_shares"), type: .hash)
    swept = try .pinned(path("sp_swept"), type: .hash)
    pool = try .pinned(path("sp_pool"), type: .array)
    workloads = try .pinned(path("sp_workload"), type: .hash)
  }

  /// Who holds how many, most first.
  func held() throws(BPFError) -> [ConversationShare] {
    var removed: [ConversationUser: UInt64] = [:]
    for (key, row) in try swept.entries() { removed[ConversationUser(key)] = row.removed }
    var found: [ConversationShare] = []
    for (key, row) in try shares.entries() {
      let user = ConversationUser(key)
      let held = Int64(bitPattern: row.held &- (removed[user] ?? 0))
      guard held > 0, let direction = Rows.direction(of: user) else { continue }
      found.append(
        ConversationShare(
          workload: user.workload == 0 ? nil : CgroupID(rawValue: user.workload), direction: direction,
          held: Int(held)))
    }
    return found.sorted { $0.held > $1.held }
  }

  /// Removes a conversation's row in the order of its user's; false if the kernel did.
  func removePlace(of talk: sp_conv) throws(BPFError) -> Bool { try queue.remove(Rows.place(of: talk)) }

  static func lanes(_ lanes: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32)) -> Lanes {
    [lanes.0, lanes.1, lanes.2, lanes.3, lanes.4, lanes.5, lanes.6, lanes.7]
  }

  static func lanes(_ lanes: Lanes) -> (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) {
    (lanes[0], lanes[1], lanes[2], lanes[3], lanes[4], lanes[5], lanes[6], lanes[7])
  }
}

/// What a pass found of one user.
struct ConversationCount {
  /// Conversations that live.
  var live = 0
  /// Rows of the order that the pass removed.
  var removed: UInt64 = 0
  /// Nothing older is in a lane.
  var floor: ConversationTables.Lanes

  /// Begins with the numbers that were to be given next when the pass began.
  init(next: ConversationTables.Lanes) { floor = next }

  /// A conversation that lives; numbers wrap around.
  mutating func note(_ talk: sp_conv) {
    live += 1
    let lane = Int(talk.lane) & (floor.count - 1)
    if Int32(bitPattern: talk.sequence &- floor[lane]) < 0 { floor[lane] = talk.sequence }
  }
}
