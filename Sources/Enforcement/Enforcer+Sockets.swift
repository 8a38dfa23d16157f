// What the enforcer does when single sockets come to speak for another workload.

package import Kernel

extension Enforcer {
  /// Has the datapath ask sockets whom they speak for; nothing is written if it does already.
  ///
  /// From then on sockets may speak for `workload` that it did not make, and nobody lists those: its row stays when it
  /// ends, until there is no room.
  package func beginRetagging(to workload: CgroupID? = nil) throws(DatapathError) {
    if let workload { lingering.spoken.insert(workload) }
    guard !shadow.heedsRetags else { return }
    try perform([.heedRetags])
  }

  /// Has every conversation judged again at its next packet, because whom a socket speaks for has changed.
  package func rejudgeConversations() throws(DatapathError) {
    try perform([.activate(shadow.generation &+ 2)])
    offerSnapshot()
  }
}
