// Does a cgroup get exactly the labels that rules and tags give it?
import Enforcement
import Kernel
import Policy
import Testing
import Workloads

@Suite struct ClassifierTests {
  static func labels(_ text: String) -> LabelSet { (try? LabelSet(parsing: text)) ?? .empty }

  static func facts(
    _ path: String, root: Bool = false, tag: WorkloadTag? = nil, processes: [ProcessTraits]? = nil
  ) -> CgroupFacts {
    CgroupFacts(
      cgroup: CgroupID(rawValue: 42), path: path, level: path.split(separator: "/").count, root: root ? path : "/",
      tag: tag, processes: processes)
  }

  static func rule(
    _ name: String, _ text: String, cgroups: [String] = [], units: [String] = [], executables: [String] = [],
    users: [String] = [], mode: Mode = .enforce
  ) -> WorkloadRule {
    WorkloadRule(
      name: name, labels: labels(text),
      match: .init(
        cgroups: cgroups.map { Glob($0) }, units: units.map { Glob($0) }, executables: executables.map { Glob($0) },
        users: users),
      mode: mode)
  }

  @Test("A cgroup that no rule and no tag mentions is not a workload")
  func unmentioned() {
    let result = Classifier(rules: [Self.rule("a", "app=web", cgroups: ["/web"])]).classify(Self.facts("/db"))
    #expect(result == Classification(workload: nil, warnings: []))
  }

  @Test(
    "A path pattern stops at a slash unless it is doubled",
    arguments: [
      ("/pods/*", "/pods/a", true), ("/pods/*", "/pods/a/b", false), ("/pods/**", "/pods/a/b", true),
      ("/pods/*/main", "/pods/a/main", true), ("/pods/a?", "/pods/a1", true), ("/pods/a?", "/pods/a", false),
    ])
  func pattern(_ pattern: String, _ path: String, _ expected: Bool) {
    let result = Classifier(rules: [Self.rule("a", "app=web", cgroups: [pattern])]).classify(Self.facts(path))
    #expect((result.workload != nil) == expected)
  }

  @Test("A unit is the directory that systemd made for it, and nothing below it")
  func unit() throws {
    let classifier = Classifier(rules: [Self.rule("a", "app=web", units: ["nginx*.service"])])
    let workload = try #require(classifier.classify(Self.facts("/system.slice/nginx.service")).workload)
    #expect(workload.labels == Self.labels("app=web"))
    #expect(workload.source == "rule a")
    #expect(classifier.classify(Self.facts("/system.slice/nginx.service/worker")).workload == nil)
    #expect(classifier.classify(Self.facts("/system.slice/.service")).workload == nil)
  }

  @Test("Every kind of pattern that a rule has must match")
  func kindsAreConjunctive() {
    let rule = Self.rule("a", "app=web", cgroups: ["/system.slice/**"], units: ["a.service"])
    #expect(Classifier(rules: [rule]).classify(Self.facts("/system.slice/a.service")).workload != nil)
    #expect(Classifier(rules: [rule]).classify(Self.facts("/user.slice/a.service")).workload == nil)
  }

  @Test("A rule for a pod matches its containers as a runtime names them, and nothing that only has such a name")
  func pods() {
    var rule = Self.rule("Pod/shop/web", "k8s.port.tcp/http=8080")
    rule.match.pods = ["shop/web"]
    let classifier = Classifier(rules: [rule, Self.rule("a", "app=web", cgroups: ["/x"])])
    func labels(_ name: String, _ found: String) -> String? {
      var facts = Self.facts("/x")
      facts.found = ["cri": SourceLabels(Self.labels(found), name: name)]
      return classifier.classify(facts).workload?.labels.description
    }
    #expect(labels("shop/web/main", "k8s.namespace=shop") == "app=web,k8s.namespace=shop,k8s.port.tcp/http=8080")
    #expect(labels("shop/web-2/main", "k8s.namespace=shop") == "app=web,k8s.namespace=shop")
    #expect(labels("shop/web/main", "container.name=x") == "app=web,container.name=x")
  }

  @Test("A rule without any pattern matches nothing")
  func noPatterns() {
    #expect(Classifier(rules: [Self.rule("a", "app=web")]).classify(Self.facts("/x")).workload == nil)
  }

  @Test("Matching rules are merged, and on one key the first by name wins with a warning")
  func mergeAndConflict() throws {
    let rules = [
      Self.rule("b", "app=second,tier=front", cgroups: ["/x"]), Self.rule("a", "app=first", cgroups: ["/x"]),
    ]
    let result = Classifier(rules: rules).classify(Self.facts("/x"))
    let workload = try #require(result.workload)
    #expect(workload.labels == Self.labels("app=first,tier=front"))
    #expect(workload.source == "rule a, rule b")
    #expect(result.warnings.count == 1)
    #expect(result.warnings.first?.contains("rule b says app=second") == true)
  }

  @Test("The same label from two rules is no conflict")
  func agreement() {
    let rules = [Self.rule("a", "app=x", cgroups: ["/x"]), Self.rule("b", "app=x", cgroups: ["/*"])]
    #expect(Classifier(rules: rules).classify(Self.facts("/x")).warnings.isEmpty)
  }

  @Test("A tag on the cgroup beats every rule")
  func tagWins() throws {
    let tag = WorkloadTag(labels: Self.labels("app=tagged"), name: "n")
    let classifier = Classifier(rules: [Self.rule("a", "app=ruled,tier=t", cgroups: ["/x"])])
    let workload = try #require(classifier.classify(Self.facts("/x", tag: tag)).workload)
    #expect(workload.labels == Self.labels("app=tagged,tier=t"))
    #expect(workload.source == "tag n, rule a")
  }

  @Test("One observing rule or tag makes the workload observed")
  func observe() {
    let rules = [Self.rule("a", "app=x", cgroups: ["/x"]), Self.rule("b", "t=y", cgroups: ["/x"], mode: .observe)]
    #expect(Classifier(rules: rules).classify(Self.facts("/x")).workload?.observe == true)
    #expect(Classifier(rules: Array(rules.prefix(1))).classify(Self.facts("/x")).workload?.observe == false)
  }

  @Test("Executables label a cgroup only when every process in it matches")
  func executables() {
    let classifier = Classifier(rules: [Self.rule("a", "app=web", executables: ["/usr/sbin/nginx"])])
    let nginx = ProcessTraits(executable: "/usr/sbin/nginx", uid: 33, user: "www-data")
    let shell = ProcessTraits(executable: "/bin/sh", uid: 33, user: "www-data")
    #expect(classifier.classify(Self.facts("/x", processes: [nginx, nginx])).workload != nil)
    let mixed = classifier.classify(Self.facts("/x", processes: [nginx, shell]))
    #expect(mixed.workload == nil)
    #expect(mixed.warnings.first?.contains("mixed cgroup: rule a matches 1 of 2 processes") == true)
    #expect(classifier.classify(Self.facts("/x", processes: [])) == Classification(workload: nil, warnings: []))
    #expect(classifier.classify(Self.facts("/x", processes: [shell])).warnings.isEmpty)
  }

  @Test("A user is meant by name or by number", arguments: ["www-data", "33"])
  func users(_ user: String) {
    let classifier = Classifier(rules: [Self.rule("a", "app=web", users: [user])])
    let process = ProcessTraits(executable: nil, uid: 33, user: "www-data")
    #expect(classifier.classify(Self.facts("/x", processes: [process])).workload != nil)
    #expect(classifier.classify(Self.facts("/x", processes: [ProcessTraits(executable: nil, uid: 3)])).workload == nil)
  }

  @Test("The agent's own root is labelled only by its explicit path")
  func attachRoot() {
    let process = ProcessTraits(executable: "/bin/sh", uid: 0, user: "root")
    func label(_ rule: WorkloadRule) -> Classification {
      Classifier(rules: [rule]).classify(Self.facts("/agent", root: true, processes: [process]))
    }
    #expect(label(Self.rule("a", "app=x", cgroups: ["/agent"])).workload != nil)
    #expect(label(Self.rule("a", "app=x", cgroups: ["/*"])).workload == nil)
    #expect(label(Self.rule("a", "app=x", executables: ["/bin/sh"])).workload == nil)
    let byProcess = label(Self.rule("a", "app=x", cgroups: ["/agent"], users: ["root"]))
    #expect(byProcess.workload == nil)
    #expect(byProcess.warnings.first?.contains("the agent's own root") == true)
  }

  @Test("A cgroup deeper than the kernel looks is a warning")
  func tooDeep() {
    let deep = String(repeating: "/d", count: 17)
    let result = Classifier(rules: [Self.rule("a", "app=x", cgroups: ["/**"])]).classify(Self.facts(deep))
    #expect(result.workload == nil)
    #expect(result.warnings.first?.contains("17 levels deep") == true)
    let fits = Classifier(rules: [Self.rule("a", "app=x", cgroups: ["/**"])])
      .classify(Self.facts(String(repeating: "/d", count: 16)))
    #expect(fits.workload?.level == 16)
  }

  @Test("Processes are asked for only where a rule could use them")
  func needsProcesses() {
    let classifier = Classifier(rules: [Self.rule("a", "app=x", cgroups: ["/a/*"], users: ["root"])])
    #expect(classifier.needsProcesses)
    #expect(classifier.needsProcesses(of: Self.facts("/a/b")))
    #expect(!classifier.needsProcesses(of: Self.facts("/b")))
    #expect(!Classifier(rules: [Self.rule("a", "app=x", cgroups: ["/a"])]).needsProcesses)
  }
}
