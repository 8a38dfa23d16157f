// The fallback: pinned programs that iptables rules call in each network namespace of a workload.

internal import BPF
public import Kernel

/// BPF programs called by `iptables -m bpf --object-pinned`, for hosts that take no programs on cgroups.
public final class NetfilterDatapath: KernelDatapath {
  /// What it holds in the kernel.
  public let kernel: KernelState

  static let output = "sp_nf_output"
  static let input = "sp_nf_input"
  static let tracepoint = (program: "sp_nf_state", name: "inet_sock_set_state")

  private init(kernel: KernelState) { self.kernel = kernel }

  static func open(
    _ options: DatapathOptions, state: StateDirectory, lock: StateLock
  ) throws(DatapathError) -> NetfilterDatapath {
    throw DatapathError("open", "netfilter", reason: "not in this version")
  }

  /// Remembers them.
  public func police(_ namespaces: [NetworkNamespace]) throws(DatapathError) {}
  /// Tries.
  public func tryToAttach() throws(DatapathError) {}
  /// Attaches.
  public func attachHooks() throws(DatapathError) {}
  /// Detaches.
  public func detachHooks() throws(DatapathError) {}
  /// Nil: socket storage cannot be read where these programs run.
  public func retags() throws(DatapathError) -> RetagTable? { nil }

  static func policedCgroup(_ pins: PinnedState) throws(DatapathError) -> CgroupID? { nil }
  static func missingAttachments(_ pins: PinnedState) throws(DatapathError) -> [String] { pins.kind.programs }
  static func removeRules(_ pins: PinnedState) throws(DatapathError) {}
}
