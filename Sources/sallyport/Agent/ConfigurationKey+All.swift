// Every key of the configuration: an entry here is read from the file, is an option of `run`, stands in its --help and
// in docs/CONFIGURATION.md.
internal import Enforcement
internal import Policy
internal import Workloads

extension ConfigurationKey {
  static let all: [ConfigurationKey] = settings + places

  private static let settings: [ConfigurationKey] = [
    .text(
      "cgroup", \.cgroup, example: "/sys/fs/cgroup/system.slice",
      help:
        "The cgroup directory to enforce on: of version 2, or of any hierarchy on a host that mounts version 1 alone."),
    .text(
      "policy", \.policy, example: "/etc/sallyport/policy", help: "A directory of policy documents, or one file."),
    .text("state", \.state, example: "/run/sallyport-2", help: "The state directory."),
    .text(
      "flows", \.flows, standard: "flows.jsonl in the state directory", example: "/var/log/sallyport/flows.jsonl",
      help: "The file of flow records."),
    .number(
      "flows-size", \.flowsSize, 65536...(1 << 40), example: 16 << 20,
      help: "How many bytes a file of flow records may have before it is rotated."),
    .number(
      "max-entries", \.maxEntries, 2...(1 << 26), example: 524288,
      help: "Room for policy cells in the kernel, the policy in force and the next one together."),
    .parsed(
      "datapath", "datapath", standing: .ofRun, standard: "auto", example: "netfilter",
      help:
        "How packets are judged: by programs on the cgroup, by iptables rules (netfilter), or auto: the best that works here.",
      set: { configuration, word in
        guard let kind = DatapathKind(rawValue: word) else {
          guard word == "auto" else {
            throw Failure("no datapath \(word)", remedy: "write auto, cgroup or netfilter")
          }
          configuration.datapath = nil
          return
        }
        configuration.datapath = kind
      }, get: { $0.datapath?.rawValue ?? "auto" }),
    .flag(
      "spare-own-namespace", \.sparesOwnNamespace,
      help: "With the netfilter datapath, write no rules in the network namespace that the agent runs in."),
    .flag("mount-bpffs", \.mountBPFFS, help: "Mount a BPF file system at /sys/fs/bpf if there is none."),
    .text(
      "mirror", \.mirror, example: "/run/sallyport-2/cgroup2",
      help: "Where to mount cgroup2 on a host that mounts version 1 alone, whose processes are mirrored there."),
    .flag(
      "inotify", \.inotify, help: "Watch cgroups by inotify, also where the kernel's tracepoints could tell more."),
    .flag(
      "coverage", \.triesCoverage,
      help: "Try in the background what the datapath covers, for `status --coverage`."),
    .parsed(
      "sources", "names", standing: .ofSources, standard: "all", example: "systemd,docker",
      help: "The sources of labels to ask, with commas between them: \(names(SourceSettings.Name.self)).",
      set: { $0.sources.enabled = try SourceSettings.names($1) },
      get: { configuration in
        let enabled = configuration.sources.enabled
        return SourceSettings.Name.allCases.filter(enabled.contains).map(\.rawValue).joined(separator: ",")
      }),
    .text(
      "labels", \.sources.labels, standing: .ofSources, example: "/etc/sallyport/labels.yaml",
      help: "A YAML file of labels by cgroup path."),
    .parsed(
      "ignore", "selector", standing: .ofSources, standard: "none", example: "app=web,tier!=front",
      help: "A selector: containers and units whose labels match it are not workloads.",
      set: { $0.ignored = try Selector(argument: $1) }, get: { $0.ignored?.description }),
  ]

  private static let places: [ConfigurationKey] = SourceSettings.Place.allCases.map { place in
    let readers = SourceSettings.Name.allCases.filter(place.sources.contains).map(\.rawValue)
    return .parsed(
      place.rawValue, "path", standing: .place, standard: place.usual, example: "/srv\(place.usual)",
      help: "The \(place.isSocket ? "socket" : "directory") that \(readers.joined(separator: " and ")) reads.",
      set: { $0.sources.places[place] = $1 }, get: { $0.sources.places[place] })
  }

  static func names<Names: CaseIterable & RawRepresentable<String>>(_ type: Names.Type) -> String {
    type.allCases.map(\.rawValue).joined(separator: ", ")
  }
}
