// What readers see of an instance in the kernel, whether or not its agent lives.

internal import BPF

/// One program of an instance.
public struct Attachment: Sendable, Equatable {
  /// The program's name, which is also that of its link.
  public var program: String
  /// Whether it is attached to a cgroup that exists.
  public var isAttached: Bool
  /// The kernel's number of the attached program; 0 if none is.
  public var programID: UInt32
}

/// Reads the pinned state of an instance; writes nothing and takes no lock.
public struct PinnedReader: Sendable {
  private let pins: PinnedState

  /// Names an instance; nothing is opened yet.
  public init(bpffs: String = "/sys/fs/bpf", state: StateDirectory) {
    pins = PinnedState(bpffs: bpffs, state: state)
  }

  /// Whether anything is pinned.
  public var exists: Bool { pins.exists }

  /// What the kernel counted since the programs were attached.
  public func counters() throws(DatapathError) -> DatapathCounters {
    do throws(BPFError) {
      return try KernelTables(pins).counters()
    } catch {
      throw DatapathError(
        "read counters", pins.published, underlying: error, remedy: error.remedy ?? "run this as root")
    }
  }

  /// Every program that an instance has, attached or not.
  public func attachments() throws(DatapathError) -> [Attachment] {
    var attachments: [Attachment] = []
    for hook in Hook.all {
      guard pins.hasLink(hook.program) else {
        attachments.append(Attachment(program: hook.program, isAttached: false, programID: 0))
        continue
      }
      do throws(BPFError) {
        let info = try PinnedLink.open(pins.link(hook.program)).info()
        attachments.append(
          Attachment(program: hook.program, isAttached: info.cgroupID != nil, programID: info.programID))
      } catch {
        throw DatapathError("read link", pins.link(hook.program), underlying: error, remedy: "run this as root")
      }
    }
    return attachments
  }
}
