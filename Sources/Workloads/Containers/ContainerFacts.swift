// What an engine, or a file it left, says of one container, and the labels that this makes: pure.
internal import Policy

/// The pod that a container is in.
package struct PodFacts: Sendable, Equatable {
  /// Its namespace.
  package var namespace: String
  /// Its name.
  package var name: String
  /// Its labels, as its owner wrote them.
  package var labels: [String: String]
  /// The container's name in the pod's specification; empty for the pod's sandbox.
  package var container: String

  package init(namespace: String, name: String, labels: [String: String] = [:], container: String = "") {
    self.namespace = namespace
    self.name = name
    self.labels = labels
    self.container = container
  }
}

extension PodFacts {
  /// What people call it: `NAMESPACE/POD/CONTAINER`.
  var title: String { [namespace, name, container].filter { !$0.isEmpty }.joined(separator: "/") }
}

/// What is known of one container.
///
/// Everything in it but the runtime and the process was chosen by who runs the container or built its image.
package struct ContainerFacts: Sendable, Equatable {
  /// What engine said so.
  package var runtime: String
  /// Its name; empty if it has none.
  package var name: String
  /// The image, spelled as the engine was asked for it; empty if unknown.
  package var image: String
  /// The labels of the image and of the container.
  package var labels: [String: String]
  /// The pod it is in, if it is in one.
  package var pod: PodFacts?
  /// The process id of its first process in the initial namespace; 0 if it is not running or nobody said.
  package var process: Int32
  /// The path of its cgroup, if the engine names it.
  package var cgroupPath: String?

  package init(
    runtime: String, name: String = "", image: String = "", labels: [String: String] = [:], pod: PodFacts? = nil,
    process: Int32 = 0, cgroupPath: String? = nil
  ) {
    self.runtime = runtime
    self.name = name
    self.image = image
    self.labels = labels
    self.pod = pod
    self.process = process
    self.cgroupPath = cgroupPath
  }
}

extension ContainerFacts {
  /// How many labels of its own a container, and a pod, may bring.
  ///
  /// An identity is a set of labels that is hashed, stored and shown whole; Kubernetes objects have some ten.
  package static let mostLabels = 64

  /// The labels that these facts make, each under a prefix that only the agent writes.
  ///
  /// | fact | label |
  /// |---|---|
  /// | a container's label `KEY` | `container.label/KEY` |
  /// | a container's label `PREFIX/KEY` | `container.label.PREFIX/KEY` |
  /// | a pod's label, likewise | `k8s.label/KEY`, `k8s.label.PREFIX/KEY` |
  /// | runtime, image | `container.runtime`, `container.image` |
  /// | the container's name | `container.name`; in a pod `k8s.container` |
  /// | the pod's namespace | `k8s.namespace` |
  ///
  /// So a tenant's label `k8s.namespace` is `container.label/k8s.namespace` and nothing else. What breaks the grammar of
  /// labels, or comes after the first 64 by the bytes of their keys, is left out with a warning: a shortened or repaired
  /// value could be another workload's.
  package var sourceLabels: SourceLabels {
    var found = Found()
    found.add("container.runtime", runtime)
    found.add("container.image", image)
    found.add(labels, under: "container.label")
    if let pod {
      found.add("k8s.namespace", pod.namespace)
      found.add("k8s.container", pod.container)
      found.add(pod.labels, under: "k8s.label")
    } else {
      found.add("container.name", name)
    }
    return SourceLabels(found.set, name: printable(pod?.title ?? name), warnings: found.warnings)
  }

  /// Keys that differ from one pod to the next of the same workload, or repeat what has a label of its own: with them every
  /// pod would be an identity of its own.
  static func isIncidental(_ key: String) -> Bool {
    key.hasPrefix("io.kubernetes.") || key.hasPrefix("annotation.") || key.hasPrefix("io.cri-containerd.")
      || key.hasPrefix("io.containerd.") || PodLabel.incidental.contains(key)
  }

  private struct Found {
    var labels: [Label] = []
    var warnings: [String] = []
    var set: LabelSet { (try? LabelSet(labels)) ?? .empty }

    /// An empty value is none: `container.image=` would select what has no image.
    mutating func add(_ key: String, _ value: String) {
      guard !value.isEmpty else { return }
      do { labels.append(try Label(key, value)) } catch { warnings.append("\(error): left out") }
    }

    mutating func add(_ tenant: [String: String], under prefix: String) {
      var taken = 0
      let sorted = tenant.filter { !isIncidental($0.key) }
        .sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      var left: [LabelError] = []
      for (key, value) in sorted where taken < mostLabels {
        do {
          try Label.checkKey(key)
          labels.append(try Label(key.contains("/") ? "\(prefix).\(key)" : "\(prefix)/\(key)", value))
          taken += 1
        } catch {
          left.append(error)
        }
      }
      // One line, however many: a tenant must not be able to fill the log.
      if let first = left.first {
        warnings.append("\(left.count) of its labels left out, the first because \(first)")
      }
      let more = sorted.count - taken - left.count
      if more > 0 { warnings.append("\(more) of its \(sorted.count) labels left out: at most \(mostLabels) are taken") }
    }
  }

  private func printable(_ text: String) -> String {
    (try? Label.checkValue(text, key: "name")) == nil ? "" : text
  }
}
