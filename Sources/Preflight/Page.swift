// docs/PREFLIGHT.md, made of the checks themselves.

/// The reader's page of all checks.
package enum PreflightPage {
  /// The whole page in Markdown.
  package static var text: String {
    var page = head
    for group in CheckGroup.allCases {
      let checks = Check.all.filter { $0.group == group }
      guard !checks.isEmpty else { continue }
      page += "\n## \(titles[group] ?? group.rawValue)\n"
      page += "| check | required | by | for what | how it is found out | remedy |\n|---|---|---|---|---|---|\n"
      for check in checks {
        let cells = [
          "`\(check.name)`", check.requirement, check.features.map(\.rawValue).joined(separator: ", "), check.purpose,
          check.method, check.remedy,
        ]
        page += "| " + cells.map(escaped).joined(separator: " | ") + " |\n"
      }
      if group == .connectivity {
        page += "\nEach `--connect ADDRESS` adds a check `connectivity.HOST:PORT`.\n"
      }
    }
    page += "\n## Distributions\n| distribution | published | succeeded by | a newer kernel |\n|---|---|---|---|\n"
    for row in Distribution.table {
      page +=
        "| \(row.name) (`\(row.id)`) | \(row.published.isEmpty ? "" : row.published) | \(row.successors) | \(escaped(row.newerKernel)) |\n"
    }
    page += "| Windows | \(Distribution.windows) | | this program runs on Linux alone |\n"
    return page
  }

  private static func escaped(_ text: String) -> String {
    text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
  }

  private static let titles: [CheckGroup: String] = [
    .host: "The host", .capability: "Capabilities", .module: "Kernel modules", .bpf: "BPF", .tool: "Tools",
    .neighbour: "Others on this host", .cluster: "Clusters", .connectivity: "Connectivity",
  ]

  private static let head = """
    # Preflight

    <!-- Written by `sallyport preflight --page` from the checks themselves: edit Sources/Preflight, not this file. -->

    `sallyport preflight` says whether this host can run Sallyport, which datapath it gets, and what to do about each thing
    that stands in the way. It changes nothing, needs no privilege to start (what it could not look at is `unknown`, with the
    reason), and is done within 10 seconds (`--timeout`).

    | to | run |
    |---|---|
    | see what stands in the way | `sudo sallyport preflight` |
    | see every line | `sudo sallyport preflight --all` |
    | ask for one datapath, or for a node | `sudo sallyport preflight --for cgroup` (`netfilter`, `cluster`) |
    | know more of one check | `sudo sallyport preflight --explain host.time` |
    | reach what must be reached | `sallyport preflight --connect tls://api.example.com:443 --connect tcp://10.0.0.5:2379` |
    | see what could be repaired, and repair it | `sudo sallyport preflight --fix --dry-run`, `sudo sallyport preflight --fix` |
    | have it as a document | `sudo sallyport preflight --output json` |

    Exit codes: 0 nothing in the way, 1 something required is missing, 2 usage, 5 ready with remarks, 6 something required could not be
    looked at. Without `--for` one datapath is enough: what the other one lacks is a remark.

    `sallyport run` asks the checks of capabilities, of cgroups and of bpffs first, and refuses in their words.

    ## The document
    | key | meaning |
    |---|---|
    | `outcome` | `pass`, `warn`, `unknown` or `fail`: what the exit code says |
    | `summary` | one line for people |
    | `datapath` | `cgroup` or `netfilter`: what an agent would get; missing if neither |
    | `readiness` | for `cgroup`, `netfilter` and `cluster`: `ready`, `ready with remarks`, `cannot tell`, `not ready` |
    | `version`, `kernel` | of this program, and of the kernel |
    | `checks[]` | one for each check, in the order of this page |
    | `checks[].name`, `.group` | such as `host.cpus`, `host` |
    | `checks[].requirement`, `.requiredBy[]`, `.purpose` | what is required, by whom, for what |
    | `checks[].outcome` | `pass`, `warn`, `unknown`, `fail` or `not-applicable` |
    | `checks[].found`, `.how` | what was found and how; of `unknown`, why it was not |
    | `checks[].meaning`, `.remedy`, `.commands[]` | what that means, what to do, and as commands for root; empty where there is nothing to do |
    | `checks[].fixes[]` | what `--fix` would run |
    | `checks[].details[]` | what stands behind `found`, a line each |

    Who requires it: `agent` every agent, `cgroup` and `netfilter` that datapath, `cluster` a node, `connectivity` the addresses asked for,
    `published` the published list alone: nothing in Sallyport depends on it.

    """
}
