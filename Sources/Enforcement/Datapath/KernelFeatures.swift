// Which optional features of the kernel the programs may use.

internal import CDatapath

/// The bits of `sp_config.features`.
enum KernelFeatures {
  /// From everything to nothing; the first choice that the kernel loads is used.
  static let choices: [UInt32] = [
    SP_FEATURE_COARSE_CLOCK | SP_FEATURE_SOCKET_CAST | SP_FEATURE_SKB_TASK,
    SP_FEATURE_COARSE_CLOCK | SP_FEATURE_SOCKET_CAST,
    SP_FEATURE_COARSE_CLOCK,
    0,
  ]

  /// The bits in words.
  static func names(_ features: UInt32) -> [String] {
    [
      (SP_FEATURE_COARSE_CLOCK, "coarse clock"), (SP_FEATURE_SOCKET_CAST, "socket cast"),
      (SP_FEATURE_SKB_TASK, "skb task"),
    ]
    .filter { features & $0.0 != 0 }.map(\.1)
  }
}
