// Whether the kernel remembers which cgroup a socket was made in: without that nothing can be policed.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A trial with a socket of its own.
package enum SocketOwnership {
  /// Whether what `check` says can change while this host runs.
  ///
  /// Only to know whether it is worth trying again: the version alone says nothing for sure.
  package static var mayChange: Bool {
    let release = (try? readKernelFile("/proc/sys/kernel/osrelease")) ?? ""
    let version = release.split(separator: ".").prefix(2).compactMap { Int($0) }
    let controllers = (try? readKernelFile("/proc/cgroups")) ?? ""
    return version.lexicographicallyPrecedes([5, 15]) && controllers.contains("net_")
  }

  /// Throws unless a socket that is made now, in a cgroup made for this below `parent`, belongs to that cgroup.
  ///
  /// Before kernel 5.15 one word of a socket held either its cgroup or the numbers of net_cls and net_prio: the first use
  /// of one of these anywhere on the host turned all sockets made later into ones of the root (`cgroup_sk_alloc_disable`;
  /// ended by kernel commit 8520e224f547). Programs on cgroups do not run for them, so nobody would be policed. Tried and
  /// not concluded from the version, since the change was carried back: 5.10.262 has it. `maker` is where the socket is
  /// made instead, which shows what such a kernel comes to.
  package static func check(below parent: CgroupDirectory, madeIn maker: CgroupDirectory? = nil) throws(KernelError) {
    guard let name = FilePath.Component("sallyport-sockets-\(getpid())") else { return }
    let scratch = try parent.create(name)
    let process: ErrandProcess
    do throws(KernelError) { process = try ErrandProcess.start(in: maker ?? scratch) } catch {
      try? scratch.remove()
      throw error
    }
    let owner = Result { () throws(KernelError) in try ownerOfSocket(madeBy: process) }
    process.stop()
    try scratch.remove()
    guard try owner.get() != scratch.id else { return }
    throw KernelError(
      "police sockets below", parent.path.description, .notSupported,
      remedy: "net_cls or net_prio is in use, and this kernel then forgets which cgroup makes a socket: empty "
        + "net_cls.classid and net_prio.ifpriomap everywhere, start the host anew without them (boot with "
        + "cgroup_no_v1=net_cls,net_prio), or use kernel 5.15 or later")
  }

  /// The cgroup of a UDP socket, which the kernel lists once it has a port; in a network namespace of its own.
  private static func ownerOfSocket(madeBy maker: ErrandProcess) throws(KernelError) -> CgroupID? {
    let namespace = try NetworkNamespace.anonymous()
    let raw: Int32
    do throws(Errno) {
      try maker.enter(namespace)
      raw = try maker.socket(family: AF_INET, type: Int32(SOCK_DGRAM.rawValue), protocol: 0).raw
    } catch {
      throw KernelError("make", "socket in a scratch cgroup", error)
    }
    let socket = OwnedDescriptor(adopting: raw)
    var any = sockaddr_in()
    any.sin_family = sa_family_t(AF_INET)
    let rc = unsafe withUnsafePointer(to: any) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) < 0 ? -errno : 0
      }
    }
    try Kernel.check(rc, "bind", "socket in a scratch cgroup")
    let cookie = try socket.socketCookie()
    let listed = try SocketDiagnostics.open(in: namespace).list()
    guard let own = listed.first(where: { $0.cookie == cookie }) else {
      throw KernelError("find", "socket in a scratch cgroup", .noSuchFileOrDirectory, remedy: "modprobe udp_diag")
    }
    return own.cgroup
  }
}
