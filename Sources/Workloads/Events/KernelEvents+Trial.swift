// The embedded tracepoint programs tried on this kernel.
package import BPF
package import Enforcement
internal import Kernel

extension KernelEvents {
  /// Tries the programs as an agent would load them; nothing stays in the kernel.
  package static func trial() throws(BPFError) -> ObjectTrial {
    try ObjectTrial(object: "workload") { () throws(BPFError) in
      let object = try EmbeddedEvents.open()
      try object.setReadOnlyData(".rodata.config", EventRows.config(CgroupID(rawValue: 1), level: 0, tellsV1: false))
      return object
    }
  }
}
