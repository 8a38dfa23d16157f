// Takes an instance's rules out of every network namespace of the host, also when nobody remembers which had them.
internal import Glibc
internal import Kernel
internal import SystemPackage

/// What removing everywhere came to.
struct NetfilterRemoval: Sendable {
  /// How many namespaces were looked at.
  var examined = 0
  /// How many had rules of the instance, and have none now.
  var cleaned = 0
  /// What could not be looked at or changed: rules of the instance may be left there.
  var failures: [DatapathError] = []
}

extension NetfilterRules {
  /// Takes an instance's rules out of all namespaces that processes live in and that have a name in /run/netns.
  ///
  /// Where nothing of the instance is, nothing is changed, and no module is loaded to find that out. `namespaces` limits
  /// it to these. A namespace that only a descriptor or a mount elsewhere keeps is not found.
  static func removeEverywhere(
    instance: String, from namespaces: [NetworkNamespace]? = nil, tools: Iptables = Iptables()
  ) -> NetfilterRemoval {
    var removal = NetfilterRemoval()
    let editor = RuleEditor(chains: NetfilterChains(instance: instance), tools: tools)
    for namespace in namespaces ?? allNamespaces(&removal.failures) {
      removal.examined += 1
      do throws(DatapathError) {
        if try editor.remove(from: namespace) { removal.cleaned += 1 }
      } catch {
        removal.failures.append(error)
      }
    }
    return removal
  }

  /// Every namespace that can be found, each once, this thread's first.
  private static func allNamespaces(_ failures: inout [DatapathError]) -> [NetworkNamespace] {
    var found: [NetworkNamespace] = []
    var known: Set<NetworkNamespace.Identity> = []
    func note(_ namespace: NetworkNamespace) {
      if known.insert(namespace.identity).inserted { found.append(namespace) }
    }
    do throws(KernelError) {
      note(try NetworkNamespace.current())
      for name in isThere("/run/netns") ? try directoryNames("/run/netns") : [] {
        note(try NetworkNamespace.open(FilePath("/run/netns/\(name)")))
      }
    } catch {
      failures.append(DatapathError("find", "network namespaces", underlying: error))
    }
    do throws(KernelError) {
      var hidden: [ProcessID] = []
      for id in try ProcessID.all() {
        do throws(KernelError) {
          note(try NetworkNamespace.open(FilePath("/proc/\(id.rawValue)/ns/net")))
        } catch {
          if error.errno == .permissionDenied || error.errno == .notPermitted { hidden.append(id) }
        }
      }
      if !hidden.isEmpty { hidden = try HomeNamespace.make().strangers(among: hidden) }
      for id in hidden {
        failures.append(
          DatapathError(
            "enter network namespace of", "process \(id.rawValue)", reason: "it may not be looked at",
            remedy: "CAP_SYS_PTRACE and all capabilities of that process are needed"))
      }
    } catch {
      failures.append(DatapathError("find", "network namespaces", underlying: error))
    }
    return found
  }
}

/// Tells who is in this thread's namespace although its link in /proc/PID/ns may not be read.
///
/// A unix socket with a name that nobody else has shows in /proc/PID/net/unix of who shares the namespace; that file is
/// open to all.
private struct HomeNamespace: ~Copyable {
  private let socket: OwnedDescriptor
  private let name: String

  private init(socket: consuming OwnedDescriptor, name: String) {
    self.socket = socket
    self.name = name
  }

  static func make() throws(KernelError) -> HomeNamespace {
    let name = "sallyport-home-\(getpid())-\(Clock.monotonicNanoseconds())"
    let socket = try OwnedDescriptor.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(name.utf8)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { path in
      // A zero byte first: a name without a file.
      for (index, byte) in bytes.enumerated() { unsafe path[index + 1] = byte }
    }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + bytes.count)
    let raw = socket.raw
    let rc = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(raw, $0, length) }
    }
    try check(rc < 0 ? -errno : 0, "bind", "unix socket \(name)")
    return HomeNamespace(socket: socket, name: name)
  }

  /// Those that are in another namespace, or in one that cannot be told.
  borrowing func strangers(among processes: [ProcessID]) -> [ProcessID] {
    var strangers: [ProcessID] = []
    for id in processes {
      do throws(KernelError) {
        if !(try readKernelFile(FilePath("/proc/\(id.rawValue)/net/unix")).contains("@\(name)")) {
          strangers.append(id)
        }
      } catch {
        // Gone meanwhile: it has no namespace any more.
        if error.errno != .noSuchFileOrDirectory && error.errno != .noSuchProcess { strangers.append(id) }
      }
    }
    return strangers
  }
}
