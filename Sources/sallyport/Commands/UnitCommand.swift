// `sallyport unit`: labels of systemd units, from their first packet on.
internal import ArgumentParser
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads

struct UnitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unit", abstract: "Label systemd units.",
    subcommands: [UnitLabelCommand.self, UnitShowCommand.self, UnitWaitCommand.self])
}

/// The unit that a command is about.
struct UnitArgument: ParsableArguments {
  @Argument(help: "A unit, such as nginx.service; a name without a type means a service.") var unit: String
  @Option(help: "The root directory of an image; the host's own if left out.") var root: String = "/"

  func name() throws -> UnitName {
    let types = UnitName.Kind.allCases.map { ".\($0.rawValue)" }
    let full = types.contains { unit.hasSuffix($0) } ? unit : "\(unit).service"
    guard let name = UnitName(full) else {
      throw Failure(
        "\(unit.debugDescription) is not a unit that processes run in",
        remedy:
          "name a service, slice, scope, socket, mount or swap; of a template, an instance (name@instance.service)",
        status: .usage)
    }
    return name
  }
}

struct UnitLabelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "label", abstract: "Label a unit, or remove its labels.",
    discussion: """
      Writes a drop-in that the agent reads. A unit that runs gets its labels at once; a service gets them before its \
      own commands run, and starts without them if the agent does not answer in time, unless --require is given.
      """)

  @OptionGroup var unit: UnitArgument
  @Argument(help: "The labels, key=value; they replace those that were given before.") var labels: [String] = []
  @Flag(help: "Report what policy would do and do nothing.") var observe = false
  @Flag(help: "Refuse traffic of cgroups below it that have no labels of their own.") var rejectUnlabelledChildren =
    false
  @Flag(help: "Do not start the service unless its labels are enforced.") var require = false
  @Flag(help: "Remove the labels instead.") var remove = false
  @Flag(help: "Label a unit that is not installed yet.") var notInstalled = false
  @OptionGroup var state: StateOptions

  func validate() throws {
    guard remove == labels.isEmpty else {
      throw ValidationError(remove ? "--remove takes no labels" : "give at least one label, key=value, or --remove")
    }
  }

  func run() throws {
    let name = try unit.name()
    if remove {
      guard try UnitDropIn.remove(for: name, root: unit.root) else {
        throw Failure("\(name) has no labels by `sallyport unit label`", remedy: "see `sallyport unit show \(name)`")
      }
      Terminal.print("removed \(UnitDropIn.path(of: name, root: unit.root))")
    } else {
      if !notInstalled { try UnitFiles.standard.within(unit.root).require(name) }
      let settings = UnitSettings(
        labels: try checkedLabels(), observe: observe, rejectsUnlabelledChildren: rejectUnlabelledChildren)
      let dropIn = UnitDropIn(settings, firstCommand: name.kind == .service ? waitCommand : "")
      Terminal.print("wrote \(try dropIn.write(for: name, root: unit.root))")
    }
    try reload()
  }

  private func checkedLabels() throws -> LabelSet {
    let labels = try LabelSet(arguments: labels)
    if let reserved = labels.labels.first(where: { Label.isReserved($0.key) }) {
      throw Failure(
        "label key \(reserved.key) is set by the agent alone", remedy: "use a key of your own", status: .usage)
    }
    return labels
  }

  /// `+` = as root, whatever the service's user and sandbox; `-` = a failure does not keep the service from starting.
  private var waitCommand: String {
    let own = FileIdentity.resolved("/proc/self/exe")?.description ?? ""
    let isPlain = own.hasPrefix("/") && !own.contains { " \"'\\%$;".contains($0) } && unit.root == "/"
    let program = isPlain ? own : "/usr/bin/sallyport"
    return (require ? "+" : "+-") + "\(program) unit wait"
      + (state.state == "/run/sallyport" ? "" : " --state \(state.state)")
  }

  /// systemd reads drop-ins only when it is told to.
  private func reload() throws {
    guard unit.root == "/", isThere("/run/systemd/system") else {
      return Terminal.print("run `systemctl daemon-reload` where systemd runs; the labels hold from the next start on")
    }
    let places = ["/usr/bin/systemctl", "/bin/systemctl"]
    guard let program = places.first(where: { isThere($0) }),
      try ChildProcess.start(FilePath(program), ["daemon-reload"]).wait() == 0
    else { throw Failure("systemd did not read its units again", remedy: "run `systemctl daemon-reload`") }
  }
}

struct UnitShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show the labels that a unit's files give it, and which files.")

  @OptionGroup var unit: UnitArgument
  @OptionGroup var output: OutputOptions

  private struct Shown: Encodable {
    var unit: String
    var labels: [String: String]
    var mode: String
    var children: String
    var files: [String]
  }

  func run() throws {
    let name = try unit.name()
    let files = UnitFiles.standard.within(unit.root)
    let settings = try files.settings(of: name) ?? UnitSettings()
    let shown = Shown(
      unit: name.text, labels: Dictionary(uniqueKeysWithValues: settings.labels.labels.map { ($0.key, $0.value) }),
      mode: settings.observe ? "observe" : "enforce",
      children: settings.rejectsUnlabelledChildren ? "reject-until-labelled" : "inherit",
      files: try files.sources(of: name))
    try output.print(shown) {
      let labels = settings.labels.labels.isEmpty ? "none" : settings.labels.description
      return
        (["unit      \(name.decoded)", "labels    \(labels)", "mode      \(shown.mode)", "children  \(shown.children)"]
        + shown.files.map { "file      \($0)" }).joined(separator: "\n") + "\n"
    }
  }
}

struct UnitWaitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait", abstract: "Return once the unit that this runs in has its labels in force.",
    discussion: "Services that were labelled with `sallyport unit label` run it before their own commands.")

  @Option(help: "How many seconds to wait at most.") var timeout: Int = 5
  @OptionGroup var state: StateOptions

  func run() async throws {
    let (name, cgroup) = try unitCgroup()
    let id = cgroup.id
    let snapshots = try FileWatch.start([state.directory])
    defer { snapshots.stop() }
    let (client, options) = (state.client, state)
    let isInForce = try await withThrowingTaskGroup(of: Bool.self) { group in
      group.addTask {
        // Asking makes the agent write down what it enforces; whatever it writes later is told by the watch.
        func isLabelled() throws -> Bool {
          _ = try client.ask(ControlRequest(.status))
          return try options.snapshot().workloads.contains { $0.cgroup == id }
        }
        if try isLabelled() { return true }
        for await batch in snapshots.events where batch.contains(where: { $0.name == "snapshot.json" }) {
          if try isLabelled() { return true }
        }
        return false
      }
      group.addTask { [timeout] in
        for await _ in Ticker.every(.seconds(timeout)) { break }
        return false
      }
      defer { group.cancelAll() }
      return try await group.next() ?? false
    }
    guard isInForce else {
      throw Failure(
        "\(name) has no labels of its own after \(timeout) s",
        remedy: "see `sallyport unit show \(name)` and the agent's log",
        status: .notEnforcing)
    }
  }

  /// The unit's own cgroup, also when this runs in one below it, as with Delegate=yes.
  private func unitCgroup() throws -> (UnitName, CgroupDirectory) {
    if case .v1 = try CgroupLayout.current() {
      // Once it has answered, this process is in the mirror of the unit.
      var request = ControlRequest(.explainWorkload)
      request.cgroup = ProcessID.current.description
      _ = try? state.client.ask(request)
    }
    let path = try CgroupHierarchy.membership(of: .current).path
    guard let agent = try state.client.ask(ControlRequest(.status)).agent,
      let place = UnitPath(path.description, root: agent.cgroupPath)
    else { throw Failure("\(path) is in no systemd unit", remedy: "run it as ExecStartPre= of a service") }
    let components = path.components.prefix(place.level)
    return (place.unit, try CgroupHierarchy.find().directory(at: FilePath(root: "/", components)))
  }
}
