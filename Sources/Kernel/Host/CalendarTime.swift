// Dates and times of day, in UTC or in the zone of this host.
internal import Glibc

/// A date and a time of day.
package struct CalendarTime: Sendable, Equatable {
  /// The year, such as 2026.
  package var year: Int
  /// The month, from 1.
  package var month: Int
  /// The day of the month, from 1.
  package var day: Int
  /// The hour, from 0.
  package var hour = 0
  /// The minute.
  package var minute = 0
  /// The second.
  package var second = 0

  /// Midnight of a day, until told otherwise.
  package init(year: Int, month: Int, day: Int) {
    self.year = year
    self.month = month
    self.day = day
  }

  /// The time of day now, or at so many seconds since 1970.
  package init(secondsSince1970 seconds: Int, inUTC: Bool) {
    var time = time_t(seconds)
    var parts = unsafe tm()
    if inUTC { _ = unsafe gmtime_r(&time, &parts) } else { _ = unsafe localtime_r(&time, &parts) }
    unsafe self.init(year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday))
    unsafe hour = Int(parts.tm_hour)
    unsafe minute = Int(parts.tm_min)
    unsafe second = Int(parts.tm_sec)
  }

  /// So many seconds since 1970 it is; nil if the year is out of reach.
  package func secondsSince1970(inUTC: Bool) -> Int? {
    guard (1970...9999).contains(year) else { return nil }
    var parts = unsafe tm()
    unsafe parts.tm_year = Int32(year - 1900)
    unsafe parts.tm_mon = Int32(month - 1)
    unsafe parts.tm_mday = Int32(day)
    unsafe parts.tm_hour = Int32(hour)
    unsafe parts.tm_min = Int32(minute)
    unsafe parts.tm_sec = Int32(second)
    // Whether summer time holds is found out.
    unsafe parts.tm_isdst = -1
    return inUTC ? unsafe timegm(&parts) : unsafe mktime(&parts)
  }
}
