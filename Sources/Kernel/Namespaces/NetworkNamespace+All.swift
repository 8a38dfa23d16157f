// Every network namespace that a socket could be found in.
internal import Glibc
internal import SystemPackage

extension NetworkNamespace {
  /// The namespaces of all processes of the host, and those that are mounted, each once.
  ///
  /// One that nothing but sockets keeps alive is not found.
  package static func ofAllProcesses() throws(KernelError) -> [NetworkNamespace] {
    var found: [Identity: NetworkNamespace] = [:]
    func note(_ path: FilePath) {
      var status = stat()
      let rc = unsafe path.withPlatformString { unsafe stat($0, &status) }
      let identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
      guard rc == 0, found[identity] == nil, let namespace = try? open(path) else { return }
      found[namespace.identity] = namespace
    }
    for id in try ProcessID.all() { note(FilePath("/proc/\(id.rawValue)/ns/net")) }
    for line in try readKernelFile("/proc/self/mountinfo").split(separator: "\n") where line.contains(" - nsfs ") {
      let fields = line.split(separator: " ")
      if fields.count > 4, fields[3].hasPrefix("net:") { note(FilePath(String(fields[4]))) }
    }
    return Array(found.values)
  }
}
