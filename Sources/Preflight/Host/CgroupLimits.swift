// What the cgroups above this process leave it of CPUs and memory, in either version.
internal import Kernel
internal import SystemPackage

extension HostView {
  /// The smallest limit of memory in bytes on the way from this process's cgroup to the top; absent if there is none.
  var memoryLimit: Look<Limit> {
    smallest(controller: "memory", files: ["memory.max", "memory.limit_in_bytes"]) { directory, file in
      let text = text("\(directory)/\(file)").value?.trimmed
      // Version 1 says "no limit" with the largest number of whole pages.
      return text.flatMap { Int($0) }.flatMap { $0 < 1 << 60 ? Double($0) : nil }
    }
  }

  /// The smallest limit of CPU time, in CPUs, on the same way; absent if there is none.
  var cpuLimit: Look<Limit> {
    smallest(controller: "cpu", files: ["cpu.max", "cpu.cfs_quota_us"]) { directory, file in
      guard let text = text("\(directory)/\(file)").value else { return nil }
      var words = text.split(whereSeparator: \.isWhitespace).map(String.init)
      if file == "cpu.cfs_quota_us", let period = self.text("\(directory)/cpu.cfs_period_us").value {
        words.append(period.trimmed)
      }
      // `max 100000`, `150000 100000`, or -1 in version 1.
      guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), quota > 0, period > 0 else {
        return nil
      }
      return quota / period
    }
  }

  /// A limit, and the file that sets it.
  struct Limit: Equatable, Sendable {
    let amount: Double
    let file: String
  }

  private func smallest(
    controller: String, files: [String], read: (_ directory: String, _ file: String) -> Double?
  ) -> Look<Limit> {
    switch (text("/proc/self/mountinfo"), text("/proc/self/cgroup")) {
    case (.unseen(let why), _), (_, .unseen(let why)): return .unseen(why)
    case (.seen(let mounts), .seen(let places)):
      var best: Limit?
      for directory in directories(controller, Array(mounts.utf8), Array(places.utf8)) {
        for file in files {
          guard let amount = read(directory, file), amount < best?.amount ?? .infinity else { continue }
          best = Limit(amount: amount, file: "\(directory)/\(file)")
        }
      }
      return best.map { .seen($0) } ?? .absent
    default: return .absent
    }
  }

  /// The directories of this process's cgroup and of those above it, in version 2 and in the controller's hierarchy.
  private func directories(_ controller: String, _ mounts: [UInt8], _ places: [UInt8]) -> [String] {
    var found: [String] = []
    func climb(from location: FilePath?, to top: FilePath) {
      guard var directory = location, directory.starts(with: top) else {
        found.append(top.string)
        return
      }
      while directory.components.count >= top.components.count {
        found.append(directory.string)
        if !directory.removeLastComponent() { break }
      }
    }
    if let mount = CgroupMount.parse(mountinfo: mounts).first, let place = CgroupMembership.parse(places) {
      climb(from: CgroupHierarchy(mount: mount).location(of: place.path), to: mount.mountPoint)
    }
    for mount in CgroupV1Mount.parse(mountinfo: mounts) where mount.names.contains(controller) {
      let lines = String(decoding: places, as: UTF8.self).split(separator: "\n")
      let place = lines.lazy.map { $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false) }
        .first { $0.count == 3 && $0[1].split(separator: ",").contains(Substring(controller)) }
      climb(from: place.flatMap { mount.location(of: FilePath(String($0[2]))) }, to: mount.mountPoint)
    }
    return found
  }
}
