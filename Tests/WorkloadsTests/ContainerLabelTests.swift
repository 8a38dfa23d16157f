// Do a container's own labels land where only they can, and what breaks the grammar nowhere?
import Policy
import Testing
import Workloads

@Suite struct ContainerLabelTests {
  static func text(_ facts: ContainerFacts) -> [String] { facts.sourceLabels.labels.labels.map(\.description) }

  @Test("Labels, image, name and runtime each have a key that only the agent sets")
  func docker() {
    let facts = ContainerFacts(
      runtime: "docker", name: "web", image: "registry.local/shop/web:1.2",
      labels: ["app": "shop", "com.example/tier": "front", "empty": ""])
    #expect(
      Self.text(facts) == [
        "container.image=registry.local/shop/web:1.2", "container.label.com.example/tier=front",
        "container.label/app=shop", "container.label/empty=", "container.name=web", "container.runtime=docker",
      ])
    #expect(facts.sourceLabels.name == "web")
    #expect(facts.sourceLabels.makesWorkload)
    #expect(facts.sourceLabels.labels.labels.allSatisfy { Label.isReserved($0.key) })
  }

  @Test("A pod's labels, namespace and container are labels; its name and what differs from pod to pod are not")
  func pod() {
    let facts = ContainerFacts(
      runtime: "containerd", name: "k8s_nginx_web-0", image: "nginx:1",
      labels: ["io.kubernetes.pod.uid": "8a3f", "io.kubernetes.container.name": "nginx"],
      pod: PodFacts(
        namespace: "shop", name: "web-0",
        labels: [
          "app": "web", "app.kubernetes.io/name": "web", "pod-template-hash": "5d", "io.kubernetes.pod.name": "web-0",
          "statefulset.kubernetes.io/pod-name": "web-0",
        ], container: "nginx"))
    #expect(
      Self.text(facts) == [
        "container.image=nginx:1", "container.runtime=containerd", "k8s.container=nginx",
        "k8s.label.app.kubernetes.io/name=web", "k8s.label/app=web", "k8s.namespace=shop",
      ])
    #expect(facts.sourceLabels.name == "shop/web-0/nginx")
  }

  @Test(
    "A tenant's label under a reserved prefix is the container's label of that name, never the reserved one",
    arguments: [
      "k8s.namespace", "k8s.container", "container.image", "container.name", "sallyport.unit", "container.label/app",
      "k8s.label/app", "sallyport.io/x", "container.label.a/b",
    ])
  func reserved(_ key: String) {
    let honest = ContainerFacts(runtime: "docker", image: "nginx", labels: ["app": "web"])
    var hostile = honest
    hostile.labels[key] = "evil"
    let before = Set(honest.sourceLabels.labels.labels)
    let added = Set(hostile.sourceLabels.labels.labels).subtracting(before)
    #expect(added.count == 1)
    for label in added {
      #expect(label.value == "evil")
      #expect(label.key == "container.label/\(key)" || label.key == "container.label.\(key)")
    }
    #expect(before.isSubset(of: Set(hostile.sourceLabels.labels.labels)))
  }

  @Test(
    "A label that breaks the grammar is left out, counted and named, and the others stay",
    arguments: [
      ("big", String(repeating: "x", count: 10_000), "10000 bytes"), ("ctl", "a\u{1b}[2J", "control character"),
      ("nl", "a\nb", "control character"), ("a b", "x", "a b"), ("", "x", "empty name"),
      ("a/b/c", "x", "more than one"),
      ("Upper/x", "x", "lower-case"), ("ключ", "x", "begin and end"), ("-a", "x", "begin and end"),
      (String(repeating: "k", count: 300), "x", "300 bytes"), ("../../etc", "x", "more than one"),
    ])
  func broken(_ key: String, _ value: String, _ problem: String) {
    let facts = ContainerFacts(runtime: "docker", labels: ["app": "web", key: value])
    #expect(Self.text(facts) == ["container.label/app=web", "container.runtime=docker"])
    let warnings = facts.sourceLabels.warnings
    #expect(warnings.count == 1)
    #expect(warnings.first?.hasPrefix("1 of its labels left out") == true)
    #expect(warnings.first?.contains(problem) == true)
    #expect(warnings.first?.unicodeScalars.allSatisfy { $0.value >= 32 } == true)
    #expect((warnings.first?.utf8.count ?? 0) < 1000)
  }

  @Test("Of more than 64 labels the first by their keys are taken, always the same, and the rest is counted")
  func tooMany() {
    let labels = Dictionary(uniqueKeysWithValues: (0..<100).map { ("k\($0 + 100)", "v") })
    let facts = ContainerFacts(runtime: "docker", labels: labels)
    let taken = facts.sourceLabels
    #expect(taken.labels.labels.count == 65)
    #expect(taken.labels["container.label/k163"] == "v")
    #expect(taken.labels["container.label/k164"] == nil)
    #expect(taken.warnings == ["36 of its 100 labels left out: at most 64 are taken"])
    var many = labels
    for index in 0..<500 { many["bad key \(index)"] = "x" }
    #expect(ContainerFacts(runtime: "docker", labels: many).sourceLabels.warnings.count == 2)
  }

  @Test("A name or an image that cannot be a label is left out, and no terminal acts on it")
  func hostileNames() {
    let facts = ContainerFacts(
      runtime: "docker", name: "a\u{1b}[31m", image: String(repeating: "i", count: 254),
      pod: PodFacts(namespace: "n\u{7}", name: "p"))
    #expect(Self.text(facts) == ["container.runtime=docker"])
    #expect(facts.sourceLabels.warnings.count == 2)
    #expect(facts.sourceLabels.name == "")
  }
}
