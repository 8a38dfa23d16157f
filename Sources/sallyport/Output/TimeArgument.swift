// Points in time as people write them: `5m`, `00:27`, `yesterday`, RFC 3339.
internal import Evidence
internal import Kernel

enum TimeArgument {
  /// Reads `90s`, `5m`, `2h`, `3d` (ago), `00:27` or `00:27:30` (today), `today`, `yesterday`, `now`, `2026-11-22`, or
  /// RFC 3339; a time without a zone is local.
  ///
  /// - Throws: exit code 2 for anything else.
  static func read(_ text: String, option: String, now: Int = Int(Clock.wallNanoseconds() / 1_000_000_000)) throws
    -> WallTime
  {
    if let seconds = seconds(text, now: now), seconds >= 0 {
      return WallTime(nanoseconds: UInt64(seconds) * 1_000_000_000 + (fraction(text) ?? 0))
    }
    throw Failure(
      "\(option) \(text.debugDescription): not a time",
      remedy: "write 5m, 2h or 3d (ago), 00:27 (today), yesterday, 2026-11-22 or 2026-11-22T00:27:00Z", status: .usage)
  }

  private static func seconds(_ text: String, now: Int) -> Int? {
    switch text {
    case "now": return now
    case "today": return midnight(now)
    // Not 86400 s before midnight: a day may be longer or shorter.
    case "yesterday": return midnight(now).flatMap { midnight($0 - 1) }
    default: break
    }
    if let unit = text.last, let factor = ["s": 1, "m": 60, "h": 3600, "d": 86_400][String(unit)],
      let count = number(text.dropLast()), count <= 1_000_000
    {
      return now - count * factor
    }
    guard let clock = clock(text) else { return stamp(text) }
    var today = CalendarTime(secondsSince1970: now, inUTC: false)
    (today.hour, today.minute, today.second) = clock
    return today.secondsSince1970(inUTC: false)
  }

  /// `2026-11-22`, `2026-11-22T00:27:00`, with `Z`, `+01:00` or no zone, `T` or a space.
  private static func stamp(_ text: String) -> Int? {
    let day = text.prefix(10).split(separator: "-", omittingEmptySubsequences: false)
    guard text.utf8.count >= 10, day.count == 3, day[0].utf8.count == 4, let year = number(day[0]),
      let month = number(day[1]), (1...12).contains(month), let date = number(day[2]), (1...31).contains(date)
    else { return nil }
    var stamp = CalendarTime(year: year, month: month, day: date)
    // 31 February is no day: it would be taken for one of March.
    guard let start = stamp.secondsSince1970(inUTC: true), CalendarTime(secondsSince1970: start, inUTC: true) == stamp
    else { return nil }
    var rest = text.dropFirst(10)
    guard let separator = rest.popFirst() else { return stamp.secondsSince1970(inUTC: false) }
    guard separator == "T" || separator == "t" || separator == " " else { return nil }
    var zone = rest.drop { $0.isNumber || $0 == ":" || $0 == "." }
    let time = rest.prefix(rest.count - zone.count).prefix { $0 != "." }
    guard let clock = clock(String(time)) else { return nil }
    (stamp.hour, stamp.minute, stamp.second) = clock
    if zone.isEmpty { return stamp.secondsSince1970(inUTC: false) }
    let sign = zone.removeFirst()
    guard let seconds = stamp.secondsSince1970(inUTC: true) else { return nil }
    if sign == "Z" || sign == "z" { return zone.isEmpty ? seconds : nil }
    guard sign == "+" || sign == "-", zone.utf8.count == 5, let offset = Self.clock(String(zone)) else { return nil }
    let shift = offset.0 * 3600 + offset.1 * 60
    return sign == "+" ? seconds - shift : seconds + shift
  }

  private static func clock(_ text: String) -> (Int, Int, Int)? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard (2...3).contains(parts.count), parts.allSatisfy({ $0.utf8.count == 2 }) else { return nil }
    let numbers = parts.compactMap { number($0) }
    guard numbers.count == parts.count, numbers[0] < 24, numbers[1] < 60, numbers.count < 3 || numbers[2] < 61 else {
      return nil
    }
    return (numbers[0], numbers[1], numbers.count < 3 ? 0 : numbers[2])
  }

  /// The nanoseconds after the point of a time of day.
  private static func fraction(_ text: String) -> UInt64? {
    guard let point = text.firstIndex(of: ".") else { return nil }
    let digits = text[text.index(after: point)...].prefix { $0.isNumber }.prefix(9)
    return number(digits).map { value in
      (digits.utf8.count..<9).reduce(UInt64(value)) { total, _ in total * 10 }
    }
  }

  private static func number(_ text: some StringProtocol) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int(text)
  }

  private static func midnight(_ time: Int) -> Int? {
    let day = CalendarTime(secondsSince1970: time, inUTC: false)
    return CalendarTime(year: day.year, month: day.month, day: day.day).secondsSince1970(inUTC: false)
  }
}
