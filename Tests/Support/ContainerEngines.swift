// Real container engines in a place of their own: root, state, sockets, network and cgroups, all removed afterwards.
internal import Glibc
package import Kernel
internal import SystemPackage

/// Podman, Docker and containerd as Debian packages them, each with directories of its own below one directory, and every
/// process and container in the cgroup of a sandbox.
///
/// The daemons run in a network namespace and mount namespace of their own: a CNI plugin sets `ip_forward` where it runs,
/// and what is mounted goes with the last process. Images are made here from busybox-static; there is no registry.
package final class ContainerEngines: Sendable {
  /// The directory of it all, with a short path.
  package let directory: String
  /// The cgroup whose children the containers' cgroups are.
  package let parent: CgroupDirectory
  /// The daemons' network namespace.
  package let namespace: NetworkNamespace
  private let sandbox: Sandbox
  private let daemons: CgroupDirectory

  /// The image that every engine has after `prepare`.
  package static let image = "localhost/sallyport-test:1"

  fileprivate init(_ directory: String, _ sandbox: Sandbox) throws {
    self.directory = directory
    self.sandbox = sandbox
    parent = try sandbox.makeCgroup("engines")
    daemons = try sandbox.makeCgroup("daemons")
    namespace = try sandbox.makeNamespace()
    try run(["sh", "-ec", Self.stage, "stage", directory, Self.image])
  }

  /// Makes DIR/rootfs.tar, DIR/image.tar (a docker-archive) and DIR/runtime.
  ///
  /// The runtime is runc without limits: engines ask for more than the hard limits, and root here may lack
  /// CAP_SYS_RESOURCE.
  private static let stage = #"""
    cd "$1"
    mkdir -p rootfs/bin rootfs/etc rootfs/proc image
    cp "$(command -v busybox)" rootfs/bin/busybox
    for name in sh sleep cat nc true mkdir; do ln -s busybox rootfs/bin/$name; done
    tar -C rootfs -cf rootfs.tar .
    layer=$(sha256sum < rootfs.tar | cut -c1-64)
    printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["sleep","600"],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{}]}' "$layer" > config.json
    config=$(sha256sum < config.json | cut -c1-64)
    mv config.json "image/$config.json"
    cp rootfs.tar "image/$layer.tar"
    printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s.tar"]}]' "$config" "$2" "$layer" > image/manifest.json
    tar -C image -cf image.tar .
    cat > runtime <<'END'
    #!/bin/sh
    previous=
    for word; do
      case $previous in
        --bundle | -b) sed -i 's/"rlimits":\[[^]]*\]/"rlimits":[]/' "$word/config.json" ;;
        --process | -p) sed -i 's/"rlimits":\[[^]]*\]/"rlimits":[]/' "$word" ;;
      esac
      previous=$word
    done
    exec runc "$@"
    END
    chmod +x runtime
    """#

  // MARK: Programs

  /// Runs a program to its end and returns what it wrote; throws with what it wrote if its exit code is not 0.
  @discardableResult
  package func run(
    _ words: [String], environment: [String: String] = [:], cgroup: CgroupDirectory? = nil
  ) throws -> String {
    let log = "\(directory)/output-\(String(getpid()))-\(words.hashValue.magnitude)"
    let output = try OwnedDescriptor.open(
      FilePath(log), flags: O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode: 0o600)
    defer { _ = unsafe unlink(log) }
    let child = try start(words, environment: environment, cgroup: cgroup, output: output.raw)
    let status = try child.wait()
    let text = String(decoding: try readRegularFile(log, limit: 1 << 20), as: UTF8.self)
    guard status == 0 else {
      throw KernelError("run", words.joined(separator: " "), .canceled, remedy: "exit code \(status): \(text)")
    }
    return text
  }

  private func start(
    _ words: [String], environment: [String: String] = [:], cgroup: CgroupDirectory? = nil, output: Int32
  ) throws -> ChildProcess {
    guard let name = words.first, let path = Sandbox.find(name) else {
      throw KernelError("find program", words.first ?? "", .noSuchFileOrDirectory)
    }
    let base = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": directory]
    let variables = base.merging(environment) { $1 }.map { "\($0)=\($1)" }
    return try ChildProcess.start(
      path, Array(words.dropFirst()), environment: variables, cgroup: cgroup ?? daemons, namespace: namespace,
      output: output, errors: output)
  }

  /// Starts a program that runs until it is stopped, and waits until it listens at `socket`.
  package func daemon(
    _ words: [String], environment: [String: String] = [:], socket: String
  ) throws -> ContainerDaemon {
    let name = words.first?.split(separator: "/").last ?? "daemon"
    let log = "\(directory)/\(name)-\(socket.hashValue.magnitude).log"
    let output = try OwnedDescriptor.open(
      FilePath(log), flags: O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, mode: 0o600)
    // A mount namespace of its own, so that nothing stays mounted.
    let child = try start(
      ["unshare", "--mount", "--propagation", "private"] + words, environment: environment, output: output.raw)
    let daemon = ContainerDaemon(child)
    let end = Clock.monotonicNanoseconds() + 20_000_000_000
    while (try? LocalSocket.connect(to: FilePath(socket))) == nil {
      guard Clock.monotonicNanoseconds() < end, !daemon.hasEnded else {
        let text = String(decoding: (try? readRegularFile(log, limit: 1 << 20)) ?? [], as: UTF8.self)
        throw KernelError("start", words.joined(separator: " "), .timedOut, remedy: String(text.suffix(2000)))
      }
      usleep(20_000)
    }
    return daemon
  }

  // MARK: The end

  /// Ends what is left and removes what runc made in other hierarchies: on a hybrid host it makes the same path in all.
  fileprivate func remove() {
    try? sandbox.cgroup.kill()
    let script = #"""
      grep " $1/" /proc/self/mountinfo | cut -d' ' -f5 | sort -r | while read -r point; do umount -l "$point"; done
      # A cgroup v1 directory has no cgroup.controllers. What was killed takes a moment to leave.
      for try in 1 2 3 4 5 6 7 8 9 10; do
        busy=
        for left in /sys/fs/cgroup/*/"$2"; do
          [ -d "$left" ] && [ ! -e "$left/cgroup.controllers" ] || continue
          find "$left" -depth -type d -exec rmdir {} \; 2>/dev/null
          [ ! -d "$left" ] || busy=1
        done
        [ -n "$busy" ] || break
        sleep 0.1
      done
      """#
    let child = try? ChildProcess.start(
      "/bin/sh", ["-c", script, "clean", directory, sandbox.cgroup.path.lastComponent?.string ?? "-"])
    _ = try? child?.wait()
  }
}

/// A program that runs until it is stopped.
package final class ContainerDaemon: Sendable {
  private let child: ChildProcess

  fileprivate init(_ child: consuming ChildProcess) { self.child = child }

  /// Whether it has ended.
  package var hasEnded: Bool { child.handle.hasExited }

  /// Ends it as an operator would, and waits.
  package func stop() throws {
    try child.handle.send(signal: SIGTERM)
    _ = try child.wait()
  }
}

/// Runs `body` with engines of its own, and removes all of it afterwards.
package func withEngines<T>(_ body: (ContainerEngines) async throws -> T) async throws -> T {
  try await withSandbox { sandbox in
    try await withShortDirectory { directory in
      let engines = try ContainerEngines(directory, sandbox)
      let result: Result<T, any Error>
      do { result = .success(try await body(engines)) } catch { result = .failure(error) }
      engines.remove()
      return try result.get()
    }
  }
}
