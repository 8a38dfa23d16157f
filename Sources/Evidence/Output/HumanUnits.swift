// Amounts and durations in a form that people read at a glance.

/// Amounts and durations in words.
package enum HumanUnits {
  /// `512 B`, `1.5 KiB`, `3.2 MiB`.
  package static func bytes(_ count: UInt64) -> String {
    guard count >= 1024 else { return "\(count) B" }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var tenths = count / 1024 * 10 + count % 1024 * 10 / 1024
    var unit = 0
    while tenths >= 10_240 && unit < units.count - 1 {
      tenths /= 1024
      unit += 1
    }
    return "\(withTenths(tenths)) \(units[unit])"
  }

  /// A duration in nanoseconds as `850 ns`, `12.3 us`, `4.5 ms`, `1.2 s`, `5m03s`, `2h05m`, `3d04h`.
  package static func duration(nanoseconds: UInt64) -> String {
    switch nanoseconds {
    case ..<1000: return "\(nanoseconds) ns"
    case ..<1_000_000: return "\(withTenths(nanoseconds / 100)) us"
    case ..<1_000_000_000: return "\(withTenths(nanoseconds / 100_000)) ms"
    case ..<60_000_000_000: return "\(withTenths(nanoseconds / 100_000_000)) s"
    default: break
    }
    let seconds = nanoseconds / 1_000_000_000
    if seconds < 3600 { return "\(seconds / 60)m\(twoDigits(seconds % 60))s" }
    if seconds < 86_400 { return "\(seconds / 3600)h\(twoDigits(seconds / 60 % 60))m" }
    return "\(seconds / 86_400)d\(twoDigits(seconds / 3600 % 24))h"
  }

  private static func withTenths(_ tenths: UInt64) -> String {
    tenths >= 1000 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
  }

  private static func twoDigits(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
