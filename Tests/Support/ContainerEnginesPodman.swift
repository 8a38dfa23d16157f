// Podman and Docker for tests: the command lines that make them leave the host alone.
package import Kernel
internal import SystemPackage

/// One engine that answers the Docker API, and its command line.
package struct ContainerEngine: Sendable {
  /// Its API's socket.
  package let socket: String
  /// Podman's `graphroot`, Docker's `data-root`.
  package let root: String
  /// The cgroup that it puts containers into.
  package let parent: CgroupDirectory
  private let engines: ContainerEngines
  private let command: [String]
  private let environment: [String: String]
  private let startService: @Sendable () throws -> ContainerDaemon

  fileprivate init(
    _ engines: ContainerEngines, socket: String, root: String, parent: CgroupDirectory, command: [String],
    environment: [String: String] = [:], startService: @escaping @Sendable () throws -> ContainerDaemon
  ) {
    self.engines = engines
    self.socket = socket
    self.root = root
    self.parent = parent
    self.command = command
    self.environment = environment
    self.startService = startService
  }

  /// Starts what listens at `socket`.
  package func serve() throws -> ContainerDaemon { try startService() }

  /// Runs the engine's command line and returns what it wrote, without the last newline.
  @discardableResult
  package func callAsFunction(_ words: String...) throws -> String { try call(words) }

  /// The same for a list.
  @discardableResult
  package func call(_ words: [String]) throws -> String {
    let text = try engines.run(command + words, environment: environment)
    return String(text.split(separator: "\n").last ?? "")
  }

  /// Starts a container of the test's image that waits, and returns its id.
  package func start(_ name: String, options: [String] = [], command: [String] = ["sleep", "600"]) throws -> String {
    // Nobody waits for a process that ignores SIGTERM, as the first one of a container does.
    let limits = ["--stop-timeout", "0", "--cgroup-parent", parent.path.string]
    return try call(["run", "-d", "--name", name] + limits + options + [ContainerEngines.image] + command)
  }
}

extension ContainerEngines {
  /// Writes a file.
  func write(_ text: String, to path: String) throws {
    try run(["sh", "-c", "printf %s \"$2\" > \"$1\"", "write", path, text])
  }

  /// Podman with an image; its API is not served yet.
  package func podman() throws -> ContainerEngine {
    let (home, socket) = ("\(directory)/podman", "\(directory)/podman.sock")
    try makeDirectory(home)
    try write(
      """
      [engine]
      cgroup_manager = "cgroupfs"
      runtime = "test"
      events_logger = "file"
      [engine.runtimes]
      test = ["\(directory)/runtime"]
      """, to: "\(home)/containers.conf")
    try write(
      "[storage]\ndriver = \"vfs\"\ngraphroot = \"\(home)/graph\"\nrunroot = \"\(home)/run\"\n",
      to: "\(home)/storage.conf")
    let environment = [
      "CONTAINERS_CONF": "\(home)/containers.conf", "CONTAINERS_STORAGE_CONF": "\(home)/storage.conf",
    ]
    let command = ["podman", "--tmpdir", "\(home)/tmp"]
    let engine = ContainerEngine(
      self, socket: socket, root: "\(home)/graph", parent: try parent.create("podman"), command: command,
      environment: environment
    ) {
      try self.daemon(
        command + ["system", "service", "--time", "0", "unix://\(socket)"], environment: environment, socket: socket)
    }
    try engine("import", "\(directory)/rootfs.tar", Self.image)
    return engine
  }

  /// Docker Engine, running, with an image.
  package func docker() throws -> (engine: ContainerEngine, daemon: ContainerDaemon) {
    let (home, socket) = ("\(directory)/docker", "\(directory)/docker.sock")
    try makeDirectory(home)
    let engine = ContainerEngine(
      self, socket: socket, root: "\(home)/data", parent: try parent.create("docker"),
      command: ["docker", "-H", "unix://\(socket)"]
    ) {
      try self.daemon(
        [
          "dockerd", "-H", "unix://\(socket)", "--data-root", "\(home)/data", "--exec-root", "\(home)/exec",
          "--pidfile", "\(home)/pid", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
          "--ip-masq=false", "--storage-driver", "vfs", "--add-runtime", "test=\(self.directory)/runtime",
          "--default-runtime", "test",
        ], socket: socket)
    }
    let daemon = try engine.serve()
    try engine("load", "-q", "-i", "\(directory)/image.tar")
    return (engine, daemon)
  }
}
