// Destroys crowds of sockets on several processors, because what was forbidden must end soon.
internal import Glibc

extension SocketDiagnostics {
  /// A thread and its netlink socket cost some 100 µs, destroying a socket 3 to 5.
  private static let worthAThread = 512

  /// Destroys sockets of a namespace, on as many processors as are worth it; throws if the kernel cannot destroy sockets
  /// at all.
  ///
  /// Kernels before 6.9 take one request at a time (`sock_diag_mutex`), so that there several threads do no good, and no
  /// harm.
  package static func destroy(
    _ sockets: [SocketEntry], in namespace: NetworkNamespace
  ) throws(KernelError) -> Outcome {
    let processors = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    return try destroy(sockets[...], in: namespace, threads: max(1, min(processors, sockets.count / worthAThread, 8)))
  }

  private static func destroy(
    _ sockets: ArraySlice<SocketEntry>, in namespace: NetworkNamespace, threads: Int
  ) throws(KernelError) -> Outcome {
    guard threads > 1 else { return try open(in: namespace).destroy(Array(sockets)) }
    let middle = sockets.startIndex + sockets.count * (threads / 2) / threads
    let parts = try runSideBySide("sock-destroy") { () throws(KernelError) in
      try destroy(sockets[..<middle], in: namespace, threads: threads / 2)
    } here: { () throws(KernelError) in
      try destroy(sockets[middle...], in: namespace, threads: threads - threads / 2)
    }
    return Outcome(
      destroyed: parts.there.destroyed + parts.here.destroyed, gone: parts.there.gone + parts.here.gone,
      failed: parts.there.failed + parts.here.failed)
  }
}
