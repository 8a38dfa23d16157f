// Makes and reads the rows that say whose share conversations count for.

internal import CDatapath
internal import Policy

extension Rows {
  /// Nothing was swept yet.
  static let unswept = sp_swept()
  /// Nobody holds anything.
  static let emptyPool = sp_pool()

  static func share(_ user: ConversationUser) -> sp_share_key {
    sp_share_key(workload: user.workload, direction: UInt32(user.direction), pad: 0)
  }

  /// Nil if the byte is no direction.
  static func direction(of user: ConversationUser) -> Direction? {
    sp_direction(rawValue: user.direction).flatMap { direction($0) }
  }

  /// Where a conversation stands in the order of its user's.
  static func place(of talk: sp_conv) -> sp_queue_key {
    sp_queue_key(
      workload: talk.owner, sequence: talk.sequence, direction: talk.direction, lane: talk.lane, pad: (0, 0))
  }

  /// Who holds most.
  static func top(_ user: ConversationUser, held: UInt64) -> sp_pool {
    sp_pool(held: held, removed: 0, top: share(user))
  }
}
