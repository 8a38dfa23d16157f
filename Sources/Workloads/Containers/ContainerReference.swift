// Which container a cgroup belongs to, by its path alone: pure, for every runtime and both cgroup drivers.

/// Who made a container's cgroup, as far as the path tells.
package enum ContainerRuntime: String, Sendable, Hashable, CaseIterable {
  /// Docker Engine with the systemd driver: `docker-ID.scope`.
  case docker
  /// Podman: `libpod-ID`, `libpod-ID.scope`, `libpod-payload-ID`.
  case podman
  /// containerd through the container runtime interface: `cri-containerd-ID.scope`.
  case containerd
  /// CRI-O: `crio-ID`, `crio-ID.scope`.
  case crio = "cri-o"
  /// LXC: `lxc.payload.NAME`.
  case lxc
  /// systemd-nspawn: `systemd-nspawn@NAME.service`, `machine-NAME.scope`.
  case nspawn = "systemd-nspawn"
}

/// A container as a cgroup path names it.
///
/// ```
/// /system.slice/docker-3f…a1.scope                                       docker, systemd driver
/// /docker/3f…a1                                                          a bare id: Docker or the CRI, cgroupfs driver
/// /kubepods/burstable/pod8a3f1c1e-…/3f…a1                                a bare id in a pod
/// /kubepods.slice/kubepods-pod8a3f1c1e_….slice/cri-containerd-3f…a1.scope
/// /machine.slice/libpod-3f…a1.scope/container                            podman with crun: one directory below
/// ```
///
/// The first component from the root that has a container's form is the container. Whatever lies below was named by
/// somebody inside it, and may say anything: a container that runs a container engine of its own, such as a Kubernetes
/// node made of Docker, has its own labels, and so has everything in it.
package struct ContainerReference: Sendable, Hashable {
  /// The engine's id, 64 hexadecimal digits; for LXC and systemd-nspawn the name.
  package var id: String
  /// Who made the cgroup; nil for a bare id, which several do.
  package var runtime: ContainerRuntime?
  /// The pod's UID with hyphens, if the directory above is a pod's.
  package var podUID: String?
  /// The path of the container's own cgroup.
  package var cgroupPath: String
  /// How many directories the path goes on below the container's own cgroup.
  package var below: Int
  /// The user whose own service manager the cgroup is in (`user@UID.service`): then that user named it and no
  /// engine of the host need know it.
  package var user: UInt32?

  /// Reads a path below the root of the hierarchy, as /proc/PID/cgroup shows it; nil when no container is in it.
  package init?(path: String) {
    // Only a whole component may match, so a name with a newline or a dot-dot in it matches nothing.
    let components = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true)
    var user: UInt32?
    for (index, component) in components.enumerated() {
      let name = Substring(component)
      if user == nil { user = Self.userManager(name) }
      let parent = index > 0 ? Substring(components[index - 1]) : nil
      guard let (id, runtime) = Self.container(name, parent: parent, isSecond: index == 1) else { continue }
      self.id = id
      self.runtime = runtime
      self.user = user
      podUID = parent.flatMap(Self.podUID)
      cgroupPath = "/" + components[...index].map { String(Substring($0)) }.joined(separator: "/")
      below = components.count - index - 1
      return
    }
    return nil
  }

  /// Whether the path was that of the container's own cgroup.
  package var isOwnCgroup: Bool { below == 0 }

  private static let prefixes: [(String, ContainerRuntime)] = [
    ("docker-", .docker), ("cri-containerd-", .containerd), ("libpod-payload-", .podman), ("libpod-", .podman),
    ("crio-", .crio), ("nerdctl-", .containerd),
  ]

  /// The container that one component names; the monitor's own cgroups (`libpod-conmon-ID`, `lxc.monitor.NAME`) are none.
  private static func container(
    _ name: Substring, parent: Substring?, isSecond: Bool
  ) -> (id: String, runtime: ContainerRuntime?)? {
    if isID(name) { return (String(name), nil) }
    for (prefix, runtime) in prefixes where name.hasPrefix(prefix) {
      var id = name.dropFirst(prefix.count)
      if id.hasSuffix(".scope") { id = id.dropLast(6) }
      if isID(id) { return (String(id), runtime) }
    }
    if name.hasPrefix("lxc.payload."), name.utf8.count > 12 { return (String(name.dropFirst(12)), .lxc) }
    if parent == "lxc.payload" || parent == "lxc" && isSecond { return (String(name), .lxc) }
    return machine(name, parent: parent).map { ($0, .nspawn) }
  }

  /// 64 lower-case hexadecimal digits.
  private static func isID(_ text: Substring) -> Bool {
    text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }

  /// The name of a machine that systemd-nspawn runs; `machine-qemu….scope` are virtual machines.
  private static func machine(_ name: Substring, parent: Substring?) -> String? {
    guard parent == "machine.slice" else { return nil }
    var escaped: Substring
    if name.hasPrefix("systemd-nspawn@"), name.hasSuffix(".service") {
      escaped = name.dropFirst(15).dropLast(8)
    } else if name.hasPrefix("machine-"), name.hasSuffix(".scope"), !name.hasPrefix("machine-qemu") {
      escaped = name.dropFirst(8).dropLast(6)
    } else {
      return nil
    }
    // systemd escapes in unit names: `\x2d` is a hyphen (systemd.unit(5)).
    var plain: [UInt8] = []
    while let byte = escaped.utf8.first {
      let digits = escaped.utf8.dropFirst(2).prefix(2)
      if byte == UInt8(ascii: "\\"), escaped.hasPrefix("\\x"), digits.count == 2,
        let value = UInt8(String(Substring(digits)), radix: 16)
      {
        plain.append(value)
        escaped = escaped.dropFirst(4)
      } else {
        plain.append(byte)
        escaped = Substring(escaped.utf8.dropFirst())
      }
    }
    return plain.isEmpty ? nil : String(decoding: plain, as: UTF8.self)
  }

  /// The UID in `podUID` or `kubepods…-podUID.slice`.
  ///
  /// systemd's driver writes underscores for hyphens, which divide slices. The UID of a static pod is a hash of 32 digits.
  private static func podUID(_ directory: Substring) -> String? {
    var text = directory
    if text.hasSuffix(".slice") {
      guard text.hasPrefix("kubepods"), let dash = text.utf8.lastIndex(of: UInt8(ascii: "-")) else { return nil }
      text = text[text.utf8.index(after: dash)...].dropLast(6)
    }
    guard text.hasPrefix("pod") else { return nil }
    let uid = text.dropFirst(3).utf8.map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 }
    let isUID = uid.allSatisfy { (48...57).contains($0) || (97...102).contains($0) || $0 == UInt8(ascii: "-") }
    return isUID && (uid.count == 36 || uid.count == 32) ? String(decoding: uid, as: UTF8.self) : nil
  }

  /// The user whose service manager a component is.
  private static func userManager(_ name: Substring) -> UInt32? {
    guard name.hasPrefix("user@"), name.hasSuffix(".service") else { return nil }
    return UInt32(name.dropFirst(5).dropLast(8))
  }
}

extension ContainerReference {
  /// The namespace and name that containerd's own clients make a path from: `/NAMESPACE/NAME`.
  ///
  /// Any path of two components looks like this: only a file of that name in containerd's state directory tells.
  package static func containerd(path: String) -> (namespace: String, name: String)? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: true)
    guard parts.count == 2, parts.allSatisfy(isContainerdName) else { return nil }
    return (String(parts[0]), String(parts[1]))
  }

  /// containerd's grammar of identifiers: at most 76 letters and digits with single `.`, `-` or `_` between them.
  private static func isContainerdName(_ text: Substring) -> Bool {
    var before = UInt8(ascii: "-")
    for byte in text.utf8 {
      let isLetter = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
      let isMark = byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
      let follows = before != UInt8(ascii: ".") && before != UInt8(ascii: "-") && before != UInt8(ascii: "_")
      guard isLetter || isMark && follows else { return false }
      before = byte
    }
    return text.utf8.count <= 76 && before != UInt8(ascii: ".") && before != UInt8(ascii: "-")
      && before != UInt8(ascii: "_")
  }
}
