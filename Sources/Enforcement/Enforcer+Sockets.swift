// What the enforcer does when single sockets come to speak for another workload.

internal import Kernel

extension Enforcer {
  /// Has the datapath ask sockets whom they speak for; nothing is written if it does already.
  public func beginRetagging() throws(DatapathError) {
    guard !shadow.heedsRetags else { return }
    try perform([.heedRetags])
  }

  /// Has every conversation judged again at its next packet, because whom a socket speaks for has changed.
  public func rejudgeConversations() throws(DatapathError) {
    try perform([.activate(shadow.generation &+ 2)])
    offerSnapshot()
  }
}
