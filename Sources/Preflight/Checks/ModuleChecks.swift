// Each kernel module of the published list: working, built in, loaded, loadable, renamed, or not there.
internal import Enforcement
internal import Kernel

/// The checks of kernel modules, one each.
let moduleChecks: [Check] = ModuleRequirement.all.map { module in
  let renamed = module.today.isEmpty ? "" : "; today \(module.today.joined(separator: " or "))"
  let needed = module.isForMarkView ? "; needed by the mark view alone, which is for kernels without BTF" : ""
  return Check(
    module.name, .module, requires: "\(module.name) built in, loaded or loadable\(renamed)", by: module.features,
    purpose: module.purpose + needed,
    method: "tried where that loads nothing: `\(module.attempt)`; else modules.builtin, modules.dep and /proc/modules",
    remedy: "modprobe \(module.today.first ?? module.name), or install the package that has it",
    probes: [.rules, .programs]
  ) { host, results in judge(module, host, results) }
}

private func judge(_ module: ModuleRequirement, _ host: HostView, _ results: ProbeResults) -> Finding {
  let modules = host.modules
  let place = modules.place(of: module.names)
  let outcome = results.rules.value?[module.name]
  let placed = words(place, module)
  if case .taken(let variant) = outcome {
    let program = ["nft", "legacy"].contains(variant) ? "iptables-\(variant)" : variant
    return .pass(
      "works, tried with \(program)\(placed.map { "; \($0)" } ?? "")", how: "\(program) in a scratch network namespace",
      details: [module.attempt])
  }
  var finding = without(module, place, outcome, host, results)
  // Nobody has looked: what could be read of the lists is still worth saying.
  if let obstacle = results.rules.obstacle, finding.outcome != .pass {
    finding.details.append("not tried: \(obstacle)")
  }
  return finding
}

private func words(_ place: ModulePlace, _ module: ModuleRequirement) -> String? {
  func named(_ name: String) -> String { name == module.name ? "" : " as \(name)" }
  switch place {
  case .builtIn(let name): return "built in\(named(name))"
  case .loaded(let name): return "loaded\(named(name))"
  case .onDisk(let name, _): return "loadable\(named(name))"
  case .absent, .unknown: return nil
  }
}

private func without(
  _ module: ModuleRequirement, _ place: ModulePlace, _ outcome: RuleTrial.Outcome?, _ host: HostView,
  _ results: ProbeResults
) -> Finding {
  let lists = "modules.builtin, modules.dep, /proc/modules"
  let tried = "tried in a scratch network namespace"
  switch (outcome, place) {
  case (.refused(let reason, let remedy)?, .builtIn), (.refused(let reason, let remedy)?, .loaded):
    return missing(
      module, "the kernel has it, but \(reason)", how: tried,
      remedy: remedy ?? "look at what the attempt says", commands: [module.attempt], host, results)
  case (.refused(let reason, let remedy)?, .absent), (.refused(let reason, let remedy)?, .unknown):
    let package = host.modulesPackage
    return missing(
      module, reason, how: tried,
      remedy: remedy.map { text in package.map { "\(text); here that is \($0.name)" } ?? text }
        ?? package.map { "install \($0.name), or use a kernel that has it" } ?? "use a kernel that has it",
      commands: package.map { [$0.command] } ?? [], host, results)
  case (_, .builtIn), (_, .loaded): return .pass(words(place, module) ?? "", how: lists)
  case (.unclear(let reason, let remedy)?, .unknown(let why)):
    return .unknown("\(why), and trying it came to nothing: \(reason)", how: tried, remedy: remedy ?? "look again")
  case (.silent(let reason)?, .unknown(let why)):
    return .unknown("\(why), and \(reason)", how: tried, remedy: "run that program by hand, and see what it waits for")
  case (_, .onDisk(let name, let file)): return loadable(module, name, file, host, results)
  case (_, .absent):
    return missing(
      module, "neither built in nor on the disk\(module.today.isEmpty ? "" : ", under any of its names")", how: lists,
      remedy: host.modulesPackage.map { "install \($0.name), or use a kernel that has it" }
        ?? "use a kernel that has it",
      commands: host.modulesPackage.map { [$0.command] } ?? [], host, results)
  case (.noProgram(let reason, let remedy)?, .unknown(let why)):
    return .unknown("not tried: \(reason); \(why)", how: lists, remedy: remedy ?? "")
  case (_, .unknown(let why)):
    let obstacle = results.rules.obstacle ?? "trying it would load other modules"
    return .unknown("\(why), and it was not tried: \(obstacle)", how: lists, remedy: "look as root")
  }
}

/// A file on the disk is as good as a module, if it may be loaded.
private func loadable(
  _ module: ModuleRequirement, _ name: String, _ file: String, _ host: HostView, _ results: ProbeResults
) -> Finding {
  let modules = host.modules
  if modules.isSealed {
    return missing(
      module, "\(file) is there, but nothing can be loaded any more", how: "/proc/sys/kernel/modules_disabled",
      remedy: "boot without kernel.modules_disabled=1 or nomodule, or load \(name) at boot before that", host, results)
  }
  if let rule = modules.barred[name] {
    return missing(
      module, "\(file) is there, but \(rule) keeps it from being loaded", how: rule,
      remedy: "take the install line of \(name) out of \(rule)", host, results)
  }
  let isNeeded = module.features != [.published]
  var finding = Finding.pass(words(.onDisk(name, file: file), module) ?? "", how: file)
  if isNeeded { finding.repairs = [.loadModule(name)] }
  let programs = ["/sbin/modprobe", "/usr/sbin/modprobe"]
  guard programs.contains(where: host.isThere) else {
    finding.outcome = .warn
    finding.found += ", but there is no modprobe to load it with"
    finding.meaning = "the kernel asks modprobe when a rule needs a module"
    finding.remedy = "install the package kmod"
    finding.repairs = []
    return finding
  }
  return finding
}

/// A fail where a datapath cannot do without it, a warning elsewhere.
private func missing(
  _ module: ModuleRequirement, _ found: String, how: String, remedy: String, commands: [String] = [], _ host: HostView,
  _ results: ProbeResults
) -> Finding {
  let exactViewLoads = results.programs.value?.contains { $0.object == "netfilter" && $0.isLoaded } ?? false
  let isVital = module.features.contains(.netfilter) && !(module.isForMarkView && exactViewLoads)
  let meaning =
    module.features == [.published]
    ? "no datapath of Sallyport uses it (\(module.purpose)); rules of other programs may"
    : isVital
      ? "the netfilter datapath does not work without it: \(module.purpose)"
      : "the mark view does not work without it, but here netfilter has the exact view"
  return isVital
    ? .fail(found, how: how, meaning: meaning, remedy: remedy, commands: commands)
    : .warn(found, how: how, meaning: meaning, remedy: remedy, commands: commands)
}

extension HostView {
  /// The package that has the modules of this kernel, and the command that installs it; nil where that is not known, as for
  /// a kernel that is none of the distribution's.
  var modulesPackage: (name: String, command: String)? {
    guard let found = distribution.value, let release = release.value else { return nil }
    let own = [
      "-amd64", "-arm64", "-generic", "-aws", "-azure", "-gcp", "-kvm", "-lowlatency", ".el", ".amzn", "-default",
      ".uek",
    ]
    guard own.contains(where: release.contains) else { return nil }
    switch (found.family, found.id) {
    case (_, "ubuntu"): return ("linux-modules-extra-\(release)", "apt-get install linux-modules-extra-\(release)")
    case (.debian, _): return ("linux-image-\(release)", "apt-get install linux-image-\(release)")
    case (.redHat, _): return ("kernel-modules-extra", "dnf install kernel-modules-extra-\(release)")
    case (.suse, _): return ("kernel-default", "zypper install kernel-default")
    case (.unknown, _): return nil
    }
  }
}
