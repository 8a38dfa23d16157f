// The programs of the cgroup datapath and where they are attached.

internal import BPF

/// One program of the cgroup datapath and its hook.
struct Hook: Sendable {
  let program: String
  let type: AttachType

  /// All of them, in the order in which they are attached: what tells comes before what judges by it.
  static let all: [Hook] = [
    Hook(program: "sp_post_bind4", type: .cgroupPostBind4),
    Hook(program: "sp_post_bind6", type: .cgroupPostBind6),
    Hook(program: "sp_sock_ops", type: .cgroupSockOps),
    Hook(program: "sp_egress", type: .cgroupEgress),
    Hook(program: "sp_connect4", type: .cgroupConnect4),
    Hook(program: "sp_connect6", type: .cgroupConnect6),
    Hook(program: "sp_sendmsg4", type: .cgroupSendmsg4),
    Hook(program: "sp_sendmsg6", type: .cgroupSendmsg6),
    Hook(program: "sp_ingress", type: .cgroupIngress),
  ]
}
