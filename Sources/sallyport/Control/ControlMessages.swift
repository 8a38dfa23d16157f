// What is said over the control socket: one JSON object a line, one request and one answer a connection.
internal import Enforcement
internal import Workloads

/// A request to the running agent.
struct ControlRequest: Codable, Sendable {
  /// What is wanted.
  enum Verb: String, Codable, Sendable {
    /// Say how the agent is.
    case status
    /// Take these policy documents, or the ones at this path, in the place of those in force.
    case applyPolicy = "policy.apply"
    /// Say what of these policy documents, or of those in force, matches nothing that is here; changes nothing.
    case checkPolicy = "policy.check"
    /// Read the policy directory again.
    case reload
    /// Label a cgroup; answered once that is enforced.
    case labelWorkload = "workload.label"
    /// Remove the labels that were given to a cgroup; answered once that is enforced.
    case unlabelWorkload = "workload.unlabel"
    /// Say which source gave which label to a process or cgroup.
    case explainWorkload = "workload.explain"
    /// End enforcement, leave nothing, and stop.
    case detach
  }

  var verb: Verb
  /// `policy.apply`, `policy.check`: the documents.
  var sources: [PolicySource]?
  /// `workload.label`, `workload.unlabel`: the path of the cgroup below the root of the hierarchy.
  ///
  /// `workload.explain`: that, or a process id.
  var cgroup: String?
  /// `workload.label`: the tag as it is written on the cgroup.
  var tag: String?

  init(_ verb: Verb) { self.verb = verb }
}

/// The agent's answer.
struct ControlResponse: Codable, Sendable {
  /// Why the request was refused; nil when it was done.
  var error: String?
  /// What to do about the error.
  var remedy: String?
  /// The generation in force after the request.
  var generation: UInt32?
  /// How many rows of the kernel's tables were written.
  var rowsWritten: Int?
  /// How many live connections were cut.
  var revoked: Int?
  /// What people should know.
  var warnings: [String] = []
  /// `workload.explain`: what is known.
  var explanation: WorkloadExplanation?
  /// `status`, `policy.check`: selectors and workload documents that match nothing here, one line each.
  var unmatched: [String]?
  /// `status`: how the agent is.
  var agent: AgentReport?
}

/// How the agent is: answered to `status`, and kept in `STATE/agent.json` for readers when the agent is gone.
///
/// `status --output json` prints it with what the kernel says beside it: the names here are the names there.
struct AgentReport: Codable, Sendable, Equatable {
  var agentPid: Int32?
  var version = ""
  /// The cgroup that the programs are attached to: its absolute path.
  var cgroup = ""
  /// Its path below the root of the hierarchy.
  var cgroupPath = ""
  /// Where policy is read from; nil when it came by `policy apply`.
  var policy: String?
  /// Why the policy at `policy` is not the one in force; empty when it is.
  var policyErrors: [String] = []
  /// What the last policy and the last look at workloads had to say.
  var warnings: [String] = []
  /// How packets are judged, and why not in a better way.
  var datapath: String?
  /// Where the processes of a host that mounts version 1 alone are mirrored; nil on all others.
  var mirror: String?
  /// Pins that are missing and cannot be made again: enforcement holds as long as the agent.
  var pinFaults: [String] = []
  /// How often pins that others had removed were made again.
  var pinRepairs = 0
  /// How often programs that others had detached were attached again.
  var reattached = 0
  /// Network namespaces where rules are missing, and why.
  var unpoliced: [String] = []
  /// Why new sockets are nobody's, so that nothing is enforced on them; nil where they are whose they should be.
  var socketsUnowned: String?
  /// How often rules were in place again after others had changed them.
  var repairs = 0
  /// How events about cgroups and processes come, and why not in a better way.
  var events = ""
  /// Events that the kernel could not hand over; each loss was followed by a look at everything.
  var eventsLost: UInt64 = 0
  /// Programs that were held until their process was placed, and those that had to be let go before.
  var executions = ""
  /// Sockets that processes had before they were placed and that keep the identity of the cgroup they were made in.
  var staleSockets = 0
  /// Workloads whose cgroups are gone and that stay in force for sockets which they made.
  var ended = 0
  /// How many of those had to go before nothing referred to them, because there were too many.
  var endedLetGoEarly = 0
  /// The sources of labels.
  var sources: [SourceReport] = []
  /// Live connections that were cut since the agent started.
  var revoked = 0
  /// Publications that failed since the agent started.
  var failures = 0
  /// Flow records that the agent itself had to drop.
  var flowsDropped = 0
  /// Why flow records cannot be written just now; nil when they can.
  var flowLogFault: String?

  /// What still holds when the agent that said it is gone.
  var lastWords: AgentReport {
    var words = AgentReport()
    words.cgroup = cgroup
    words.policy = policy
    words.policyErrors = policyErrors
    words.warnings = warnings
    words.mirror = mirror
    words.revoked = revoked
    words.failures = failures
    words.flowsDropped = flowsDropped
    words.flowLogFault = flowLogFault
    return words
  }
}

/// How a source of labels is.
struct SourceReport: Codable, Sendable, Equatable {
  /// What people know it by, such as `docker`.
  var name: String
  /// Why it cannot answer just now; nil when it can, or nobody asked.
  var fault: String?
  /// Whether what it reads was named and is not there.
  var isMissing: Bool?
  /// Questions that it answered.
  var answered: UInt64
  /// Questions that it could not answer.
  var failed: UInt64
}
