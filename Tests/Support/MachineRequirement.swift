// What a test needs of the machine; without it the test is skipped with a reason, or fails where skips are forbidden.
package import BPF
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage
package import Testing

/// Something that a machine may lack.
package struct MachineRequirement: Sendable {
  /// What it is, for the message.
  package let name: String
  /// Why it is not there, or nil if it is.
  package let missing: @Sendable () -> String?

  /// States a requirement.
  package init(_ name: String, missing: @escaping @Sendable () -> String?) {
    self.name = name
    self.missing = missing
  }

  /// The effective user is root.
  package static let root = MachineRequirement("root") { geteuid() == 0 ? nil : "not root" }

  /// Making maps, loading programs, and attaching them to cgroups.
  package static let bpf = MachineRequirement("BPF") { lacking([.bpf, .netAdmin]) }

  /// Making network namespaces and configuring them.
  package static let networkNamespaces = MachineRequirement("network namespaces") {
    if let lacks = lacking([.sysAdmin, .netAdmin]) { return lacks }
    return Sandbox.find("ip") == nil ? "ip (iproute2) is not installed" : nil
  }

  /// A cgroup v2 hierarchy in which we may make directories.
  package static let cgroups = MachineRequirement("cgroup v2") {
    do throws(KernelError) {
      _ = try CgroupHierarchy.find()
      return geteuid() == 0 ? nil : "not root"
    } catch {
      return error.description
    }
  }

  /// A BPF file system at the usual place.
  package static let pins = MachineRequirement("BPF file system") {
    do throws(KernelError) {
      try BPFFilesystem.standard.require()
      return nil
    } catch {
      return error.description
    }
  }

  /// Ending sockets of others (SOCK_DESTROY, CONFIG_INET_DIAG_DESTROY), tried on one in a namespace of its own.
  package static let socketDestruction = MachineRequirement("destroying sockets") {
    do {
      let namespace = try NetworkNamespace.anonymous()
      let listener = try namespace.run { try TestSocket.listening("0.0.0.0", 9) }
      defer { withExtendedLifetime(listener) {} }
      let diagnostics = try SocketDiagnostics.open(in: namespace)
      return try diagnostics.destroy(diagnostics.list()).destroyed == 1 ? nil : "the kernel destroyed nothing"
    } catch {
      return "\(error)"
    }
  }

  /// A program that root can run, and the package that has it where that is called otherwise.
  package static func program(_ name: String, package: String? = nil) -> MachineRequirement {
    MachineRequirement(name) {
      Sandbox.find(name) == nil ? "not installed (package \(package ?? name)); run scripts/install-deps test" : nil
    }
  }

  /// Multipath TCP (CONFIG_MPTCP, IPPROTO_MPTCP of RFC 8684), tried.
  package static let multipathTCP = MachineRequirement("multipath TCP") {
    do {
      _ = try TestSocket(family: .ipv4, type: 1, protocol: KernelNumbers.multipathTCP)
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// The kernel's own types (CONFIG_DEBUG_INFO_BTF), without which only the mark view loads.
  package static let kernelTypes = MachineRequirement("kernel types") {
    unsafe access("/sys/kernel/btf/vmlinux", R_OK) == 0
      ? nil : "/sys/kernel/btf/vmlinux is missing, and programs look into sockets by it"
  }

  /// A kernel from this release on; for what was made for such kernels, never for a feature that can be tried.
  package static func kernel(_ major: Int, _ minor: Int) -> MachineRequirement {
    MachineRequirement("kernel \(major).\(minor)") {
      let release = (try? readKernelFile("/proc/sys/kernel/osrelease")) ?? ""
      let parts = release.split(separator: ".").prefix(2).compactMap { Int($0) }
      return parts.count == 2 && (parts[0], parts[1]) >= (major, minor) ? nil : "this is \(release)"
    }
  }

  /// All that a suite needs which speaks through the datapath under test.
  package static let policing = MachineRequirement("policing") {
    for requirement in [root, bpf, cgroups, pins, networkNamespaces]
      + (NetfilterView.underTest == .mark ? [] : [kernelTypes])
    {
      if let missing = requirement.missing() { return "\(requirement.name): \(missing)" }
    }
    return nil
  }

  /// A feature of the kernel, tried.
  package static func feature(_ feature: Feature) -> MachineRequirement {
    MachineRequirement(feature.name) { feature.probe().reason }
  }

  private static func lacking(_ wanted: [Capability]) -> String? {
    do throws(KernelError) {
      try Capabilities.require(wanted)
      return nil
    } catch {
      return error.description
    }
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips the test unless the machine has everything named; with SALLYPORT_NO_SKIP=1 it runs, and fails, instead.
  package static func requires(_ requirements: MachineRequirement...) -> ConditionTrait {
    let missing = requirements.compactMap { requirement in
      requirement.missing().map { "\(requirement.name): \($0)" }
    }
    let mustRun = unsafe getenv("SALLYPORT_NO_SKIP").map { unsafe String(cString: $0) } == "1"
    return .enabled("needs \(missing.joined(separator: "; "))") { mustRun || missing.isEmpty }
  }
}
