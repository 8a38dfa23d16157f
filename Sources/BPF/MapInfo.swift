// What the kernel says about a map, and the check of its sizes against Swift's types.
internal import CLibbpf
internal import Glibc
package import Kernel
internal import SystemPackage

/// The shape of a map, fixed when it was made.
package struct MapInfo: Equatable, Sendable {
  /// The kernel's number for it, unique while it lives.
  package let id: UInt32
  /// At most 15 characters.
  package let name: String
  /// The kernel's kind.
  package let type: MapType
  /// Bytes in a key.
  package let keySize: Int
  /// Bytes in a value (of one CPU).
  package let valueSize: Int
  /// The bound on the number of entries; bytes for a ring buffer.
  package let maxEntries: Int
  /// `BPF_F_…` flags of its creation.
  package let flags: UInt32

  /// Asks the kernel about a map; EINVAL if the descriptor is none.
  package init(of descriptor: borrowing OwnedDescriptor) throws(BPFError) {
    try descriptor.requireKind("map")
    var info = bpf_map_info()
    var size = UInt32(MemoryLayout<bpf_map_info>.size)
    try checkBPF(unsafe bpf_obj_get_info_by_fd(descriptor.raw, &info, &size), "describe", "map")
    id = info.id
    name = text(of: info.name)
    type = MapType(rawValue: info.type)
    keySize = Int(info.key_size)
    valueSize = Int(info.value_size)
    maxEntries = Int(info.max_entries)
    flags = info.map_flags
  }

  /// Bytes of kernel memory that the map is charged for, read from fdinfo; nil if it does not say.
  package static func memoryLocked(_ descriptor: borrowing OwnedDescriptor) -> Int? {
    guard let text = try? readKernelFile(FilePath("/proc/self/fdinfo/\(descriptor.raw)")) else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix("memlock:") {
      return Int(line.dropFirst("memlock:".count).drop { $0 == " " || $0 == "\t" })
    }
    return nil
  }

  /// Throws EINVAL that lists every difference between the map and what the caller's types say.
  func require(key: Int, value: Int, type wanted: MapType?, perCPU: Bool) throws(BPFError) {
    var differences: [String] = []
    if keySize != key { differences.append("key is \(keySize) bytes, expected \(key)") }
    if valueSize != value { differences.append("value is \(valueSize) bytes, expected \(value)") }
    if let wanted, wanted != type { differences.append("type is \(type.rawValue), expected \(wanted.rawValue)") }
    // A lookup writes one value per CPU: into a single value's memory that would be an overflow.
    if type.isPerCPU != perCPU { differences.append(perCPU ? "not a per-CPU map" : "a per-CPU map") }
    guard differences.isEmpty else {
      throw BPFError("open map", name, .invalidArgument, remedy: differences.joined(separator: "; "))
    }
  }
}
