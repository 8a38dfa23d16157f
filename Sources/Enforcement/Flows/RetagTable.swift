// Which sockets speak for another workload than their creator's: the kernel's socket storage `sp_retag`.

internal import BPF
internal import CDatapath
internal import Kernel
internal import Policy

/// The socket storage of one instance, open.
package final class RetagTable: Sendable {
  private let map: BPFMap<Int32, sp_retag>
  private let control: BPFMap<UInt32, sp_control>

  init(_ pins: PinnedState) throws(BPFError) {
    map = try .pinned(pins.map("sp_retag"), type: .socketStorage)
    control = try .pinned(pins.map("sp_control"), type: .array)
  }

  /// What a listing of sockets is to tell of each; nil while no socket can have been retagged since the programs were
  /// loaded.
  ///
  /// Programs look at sockets' storage only from then on, and for good: sockets take their storage with them and nobody
  /// counts them.
  var storageInUse: Int32? {
    guard let row = try? control.value(for: 0), Rows.areSocketsRetagged(row) else { return nil }
    return map.descriptor.raw
  }

  /// Makes a socket, and those that it accepts from now on, speak for a subject.
  func set(_ subject: PolicedSubject, for socket: borrowing OwnedDescriptor) throws(BPFError) {
    try map.set(Rows.retag(subject), for: socket.raw)
  }

  /// Whom a socket speaks for by its storage; nil if it has none that counts.
  func subject(of socket: borrowing OwnedDescriptor, _ owner: (CgroupID) -> PolicedSubject?) -> PolicedSubject? {
    guard let row = try? map.value(for: socket.raw) else { return nil }
    let retag: Retag = Rows.retag(row)
    return retag.subject(owner)
  }

  /// Makes a socket speak for its creator again.
  func clear(_ socket: borrowing OwnedDescriptor) throws(BPFError) { try map.remove(socket.raw) }
}

extension SocketEntry {
  /// Whom the socket speaks for, as the kernel programs see it; nil if that is outside of what is enforced on.
  ///
  /// Its storage counts as long as the workload that it names is there; else its creator's cgroup does.
  func subject(_ owner: (CgroupID) -> PolicedSubject?) -> PolicedSubject? {
    Rows.retag(storage)?.subject(owner) ?? cgroup.flatMap(owner)
  }
}

/// What a socket's storage says: `struct sp_retag`.
struct Retag: Sendable, Equatable {
  /// The workload; nil = the host.
  var workload: CgroupID?
  /// Whether its holder is below the workload, in a cgroup without labels of its own.
  var isChild: Bool

  /// Whom it names; nil if that workload has no row any more.
  func subject(_ owner: (CgroupID) -> PolicedSubject?) -> PolicedSubject? {
    guard let workload else { return .host }
    guard let found = owner(workload), found.workload == workload, !found.isUnlabelled else { return nil }
    return isChild ? found.unlabelledChild : found
  }
}
