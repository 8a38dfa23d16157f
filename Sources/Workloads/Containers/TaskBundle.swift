// The folder that containerd keeps for every running container: its OCI specification and its first process.
internal import JSON
internal import Kernel

/// `STATE/io.containerd.runtime.v2.task/NAMESPACE/ID`.
struct TaskBundle {
  /// The specification's annotations.
  var annotations: [String: String] = [:]
  /// The cgroup that the specification asks for: a path, or `SLICE:PREFIX:NAME` with systemd's driver.
  var cgroupsPath = ""
  /// The first process; 0 before it is there.
  var process: Int32 = 0

  /// Reads a folder; nil if it is not there.
  static func read(_ folder: String, source: String) throws(SourceFault) -> TaskBundle? {
    let path = "\(folder)/config.json"
    guard let json = try readFile(path, source: source) else { return nil }
    var bundle: TaskBundle
    do { bundle = try TaskBundle(specification: json) } catch { throw SourceFault(source, path, "\(error)") }
    if let text = try readFile("\(folder)/init.pid", source: source) {
      bundle.process = Int32(String(decoding: text.prefix { (48...57).contains($0) }, as: UTF8.self)) ?? 0
    }
    return bundle
  }

  /// Reads `config.json` (OCI runtime specification).
  init(specification json: [UInt8]) throws(JSONFault) {
    var (annotations, cgroupsPath) = ([String: String](), "")
    var reader = JSONReader(json)
    try reader.object { reader, key throws(JSONFault) in
      switch key {
      case "annotations": annotations = try reader.strings()
      case "linux":
        try reader.object { reader, key throws(JSONFault) in
          if key == "cgroupsPath" { cgroupsPath = try reader.string() ?? "" }
        }
      default: break
      }
    }
    self.annotations = annotations
    self.cgroupsPath = cgroupsPath
  }

  /// The pod in the annotations that containerd's CRI plugin writes; nil if it wrote none.
  var podFacts: ContainerFacts? {
    guard let namespace = annotations["io.kubernetes.cri.sandbox-namespace"],
      let pod = annotations["io.kubernetes.cri.sandbox-name"]
    else { return nil }
    return ContainerFacts(
      runtime: ContainerRuntime.containerd.rawValue, image: annotations["io.kubernetes.cri.image-name"] ?? "",
      pod: PodFacts(
        namespace: namespace, name: pod, container: annotations["io.kubernetes.cri.container-name"] ?? ""))
  }
}
