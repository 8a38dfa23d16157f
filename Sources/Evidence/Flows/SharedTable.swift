// A dictionary of limited size, of which every user has a share: one that floods it forgets what is its own.

/// At most `limit` entries, of which a user may hold as many as are free (dynamic thresholds, as in the kernel's tables).
///
/// One that holds more forgets its oldest for each that it adds; when next to nothing is free whoever holds most does. Its
/// memory shrinks when most of it is unused.
struct SharedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  private struct Entry: Sendable {
    var key: Key
    var value: Value
    var user: UInt64
    var serial: UInt32
  }

  /// What one user holds: places in the order in which they were taken, with gaps where entries were removed.
  private struct Holding: Sendable {
    var count = 0
    var order: [(place: UInt32, serial: UInt32)] = []
    var head = 0
  }

  /// Where a key's entry is: a hash table keeps a third of its room free, so it holds places and not entries.
  private var places: [Key: UInt32] = [:]
  private var entries: [Entry?] = []
  private var unused: [UInt32] = []
  private var users: [UInt64: Holding] = [:]
  private var nextSerial: UInt32 = 0
  /// Who holds most, as far as was seen.
  private var most: UInt64 = 0
  let limit: Int
  /// Entries that were forgotten to make room.
  private(set) var evicted: UInt64 = 0

  init(limit: Int) { self.limit = max(limit, 1) }

  var count: Int { places.count }

  /// How many entries a user holds.
  func count(of user: UInt64) -> Int { users[user]?.count ?? 0 }

  subscript(key: Key) -> Value? { places[key].flatMap { entries[Int($0)]?.value } }

  /// Writes an entry; a new key may evict another, a known one keeps its place and its user.
  mutating func set(_ value: Value, for key: Key, of user: UInt64) {
    if let place = places[key] {
      entries[Int(place)]?.value = value
      return
    }
    makeRoom(for: user)
    let entry = Entry(key: key, value: value, user: user, serial: nextSerial)
    let place: UInt32
    if let free = unused.popLast() {
      place = free
      entries[Int(free)] = entry
    } else {
      place = UInt32(entries.count)
      entries.append(entry)
    }
    places[key] = place
    users[user, default: Holding()].count += 1
    users[user]?.order.append((place, nextSerial))
    nextSerial &+= 1
    compactOrder(of: user)
  }

  @discardableResult
  mutating func remove(_ key: Key) -> Value? {
    guard let place = places.removeValue(forKey: key), let entry = entries[Int(place)] else { return nil }
    entries[Int(place)] = nil
    unused.append(place)
    users[entry.user]?.count -= 1
    if users[entry.user]?.count == 0 { users[entry.user] = nil } else { compactOrder(of: entry.user) }
    if entries.count > 4096, places.count < entries.count / 4 { shrink() }
    return entry.value
  }

  private mutating func makeRoom(for user: UInt64) {
    let free = limit - count
    let own = count(of: user)
    if own >= count(of: most) {
      most = user
      // Less than what each would have: somebody who is quiet now must hold more.
      if free <= limit / 16, own < limit / (users.count + 1) {
        most = users.max { $0.value.count < $1.value.count }?.key ?? user
      }
    }
    if free <= limit / 16, count(of: most) > own {
      evictOldest(of: most, 2)
    } else if own >= free {
      evictOldest(of: user, own < free + 64 ? 1 : 2)
    }
    // What is left when the hint was wrong: nobody else's is taken, and the limit holds.
    if count >= limit { evictOldest(of: user, 1) }
    if count >= limit, let any = users.first?.key { evictOldest(of: any, 1) }
  }

  private mutating func evictOldest(of user: UInt64, _ wanted: Int) {
    var wanted = wanted
    while wanted > 0, let holding = users[user], holding.head < holding.order.count {
      let (place, serial) = holding.order[holding.head]
      users[user]?.head += 1
      guard let entry = entries[Int(place)], entry.serial == serial, entry.user == user else { continue }
      remove(entry.key)
      evicted += 1
      wanted -= 1
    }
  }

  /// Sweeps the gaps when they are the greater part, so that a change costs O(1) on average.
  private mutating func compactOrder(of user: UInt64) {
    guard let holding = users[user], holding.order.count > 64, holding.order.count > 2 * holding.count else { return }
    users[user]?.order = holding.order[holding.head...].filter {
      entries[Int($0.place)]?.serial == $0.serial && entries[Int($0.place)]?.user == user
    }
    users[user]?.head = 0
  }

  /// Moves what is left together.
  private mutating func shrink() {
    var old: [Entry] = []
    old.reserveCapacity(places.count)
    // In the order in which they came.
    for user in users.values {
      for (place, serial) in user.order[user.head...] {
        if let entry = entries[Int(place)], entry.serial == serial { old.append(entry) }
      }
    }
    places = [:]
    entries = []
    unused = []
    users = [:]
    places.reserveCapacity(old.count)
    for var entry in old {
      let place = UInt32(entries.count)
      entry.serial = nextSerial
      nextSerial &+= 1
      places[entry.key] = place
      users[entry.user, default: Holding()].count += 1
      users[entry.user]?.order.append((place, entry.serial))
      entries.append(entry)
    }
  }
}
