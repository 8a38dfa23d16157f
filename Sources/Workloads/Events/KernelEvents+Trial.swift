// The embedded tracepoint programs tried on this kernel.
package import BPF
internal import CDatapath
package import Enforcement

extension KernelEvents {
  /// Tries the programs as an agent would load them; nothing stays in the kernel.
  package static func trial() throws(BPFError) -> ObjectTrial {
    try ObjectTrial(object: "workload") { () throws(BPFError) in
      let object = try EmbeddedEvents.open()
      try object.setReadOnlyData(".rodata.config", sp_event_config(cgroup: 1, level: 0, tells_v1: 0))
      return object
    }
  }
}
