// Wall-clock time from the kernel's monotonic time, and its RFC 3339 form.

internal import JSON
internal import Kernel

/// A point in time: nanoseconds since 1970 in UTC.
package struct WallTime: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Nanoseconds since 1970-01-01T00:00:00Z.
  package let nanoseconds: UInt64

  /// Takes nanoseconds since 1970-01-01T00:00:00Z.
  package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// `2026-11-22T23:22:42.123456789Z` (RFC 3339, always nine digits, so that text order is time order).
  package var description: String {
    var json = JSONWriter(capacity: 32)
    var format = TimeFormat()
    format.append(self, to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// Earlier first.
  package static func < (left: WallTime, right: WallTime) -> Bool { left.nanoseconds < right.nanoseconds }
}

/// What is added to CLOCK_MONOTONIC to get the time of day.
///
/// Read again now and then: the time of day is stepped and slewed, and does not stop in suspend.
package struct ClockOffset: Sendable, Equatable {
  /// CLOCK_REALTIME minus CLOCK_MONOTONIC in nanoseconds.
  package let nanoseconds: UInt64

  /// A fixed offset in nanoseconds, for replays and tests.
  package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// The offset now.
  package static func current() -> ClockOffset {
    let monotonic = Clock.monotonicNanoseconds()
    return ClockOffset(nanoseconds: Clock.wallNanoseconds() &- monotonic)
  }

  /// The time of day of a monotonic time in nanoseconds.
  package func wallTime(of monotonic: UInt64) -> WallTime { WallTime(nanoseconds: monotonic &+ nanoseconds) }
}

/// Writes times; remembers the last second, whose date is most of the work.
struct TimeFormat: Sendable {
  private var second = UInt64.max
  private var prefix: [UInt8] = []

  /// Appends the RFC 3339 form without quotes.
  mutating func append(_ time: WallTime, to json: inout JSONWriter) {
    let (seconds, nanoseconds) = time.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    if seconds != second {
      second = seconds
      prefix = Self.date(seconds)
    }
    json.raw(prefix)
    json.digits(nanoseconds, atLeast: 9)
    json.raw(UInt8(ascii: "Z"))
  }

  /// `2026-11-22T23:22:42.` by Howard Hinnant's civil_from_days (proleptic Gregorian, eras of 400 years).
  private static func date(_ seconds: UInt64) -> [UInt8] {
    let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
    let shifted = days + 719_468
    let (era, dayOfEra) = shifted.quotientAndRemainder(dividingBy: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let fromMarch = (5 * dayOfYear + 2) / 153
    let month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    var json = JSONWriter(capacity: 24)
    json.digits(year, atLeast: 4)
    let parts: [(UInt8, UInt64)] = [
      (0x2d, month), (0x2d, dayOfYear - (153 * fromMarch + 2) / 5 + 1), (0x54, rest / 3600), (0x3a, rest / 60 % 60),
      (0x3a, rest % 60),
    ]
    for (separator, value) in parts {
      json.raw(separator)
      json.digits(value, atLeast: 2)
    }
    json.raw(UInt8(ascii: "."))
    return json.bytes
  }
}
