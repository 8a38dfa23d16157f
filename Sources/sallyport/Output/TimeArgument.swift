// Points in time as people write them: `5m`, `00:27`, `yesterday`, RFC 3339.
internal import Evidence
internal import Glibc
internal import Kernel

enum TimeArgument {
  /// Reads `90s`, `5m`, `2h`, `3d` (ago), `00:27` or `00:27:30` (today), `today`, `yesterday`, `now`, `2026-11-22`, or
  /// RFC 3339; a time without a zone is local.
  ///
  /// - Throws: exit code 2 for anything else.
  static func read(_ text: String, option: String, now: Int = time(nil)) throws -> WallTime {
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
    case "yesterday": return midnight(midnight(now) - 1)
    default: break
    }
    if let unit = text.last, let factor = ["s": 1, "m": 60, "h": 3600, "d": 86_400][String(unit)],
      let count = number(text.dropLast()), count <= 1_000_000
    {
      return now - count * factor
    }
    if let clock = clock(text) {
      var parts = local(midnight(now))
      (parts.tm_hour, parts.tm_min, parts.tm_sec) = clock
      return unsafe mktime(&parts)
    }
    return stamp(text)
  }

  /// `2026-11-22`, `2026-11-22T00:27:00`, with `Z`, `+01:00` or no zone, `T` or a space.
  private static func stamp(_ text: String) -> Int? {
    let day = text.prefix(10).split(separator: "-", omittingEmptySubsequences: false)
    guard text.utf8.count >= 10, day.count == 3, day[0].utf8.count == 4, let year = number(day[0]),
      let month = number(day[1]), (1...12).contains(month), let date = number(day[2]), (1...31).contains(date)
    else { return nil }
    var parts = tm()
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (Int32(year) - 1900, Int32(month) - 1, Int32(date))
    parts.tm_isdst = -1
    var rest = text.dropFirst(10)
    guard let separator = rest.popFirst() else { return unsafe mktime(&parts) }
    guard separator == "T" || separator == "t" || separator == " " else { return nil }
    var zone = rest.drop { $0.isNumber || $0 == ":" || $0 == "." }
    let time = rest.prefix(rest.count - zone.count).prefix { $0 != "." }
    guard let clock = clock(String(time)) else { return nil }
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = clock
    if zone.isEmpty { return unsafe mktime(&parts) }
    let sign = zone.removeFirst()
    if sign == "Z" || sign == "z" { return zone.isEmpty ? unsafe timegm(&parts) : nil }
    guard sign == "+" || sign == "-", zone.utf8.count == 5, let offset = Self.clock(String(zone)) else { return nil }
    let shift = Int(offset.0) * 3600 + Int(offset.1) * 60
    return unsafe timegm(&parts) - (sign == "+" ? shift : -shift)
  }

  private static func clock(_ text: String) -> (Int32, Int32, Int32)? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard (2...3).contains(parts.count), parts.allSatisfy({ $0.utf8.count == 2 }) else { return nil }
    let numbers = parts.compactMap { number($0) }
    guard numbers.count == parts.count, numbers[0] < 24, numbers[1] < 60, numbers.count < 3 || numbers[2] < 61 else {
      return nil
    }
    return (Int32(numbers[0]), Int32(numbers[1]), numbers.count < 3 ? 0 : Int32(numbers[2]))
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

  private static func local(_ time: Int) -> tm {
    var (time, parts) = (time, tm())
    unsafe localtime_r(&time, &parts)
    parts.tm_isdst = -1
    return parts
  }

  private static func midnight(_ time: Int) -> Int {
    var parts = local(time)
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (0, 0, 0)
    return unsafe mktime(&parts)
  }
}
