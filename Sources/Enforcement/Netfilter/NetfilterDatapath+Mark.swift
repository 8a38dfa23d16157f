// What the netfilter datapath does by itself in the mark view: it looks again who listens when it is asked to.
internal import Kernel
internal import Policy
internal import Synchronization

extension NetfilterDatapath {
  /// Starts to look whenever a program refuses something for a receiver that it was not told of.
  func watchListeners(_ markState: MarkState) throws(DatapathError) {
    guard listenerWatch.withLock({ $0 == nil }) else { return }
    do throws(KernelError) {
      let watch = try ListenerWatch.start {
        // It is asked again by the next refusal, and by the agent from time to time.
        try? markState.tellListeners()
      }
      listenerWatch.withLock { $0 = watch }
      kernel.observer.set { events in
        if events.contains(where: \.isForUnknownReceiver) { watch.ask() }
      }
    } catch {
      throw DatapathError("watch", "listeners", underlying: error, remedy: error.remedy)
    }
  }

  /// Takes cgroups that were removed out of the rules of the mark view: no program could write a table that names them.
  ///
  /// Their living sockets go on by what is tracked; who receives for them is told as before.
  package func leaveEnded() throws(DatapathError) {
    if let markState { try followWorkloads(markState) }
  }

  /// Ends it; no look is under way when it returns.
  func endListenerWatch() {
    kernel.observer.set(nil)
    listenerWatch.withLock { $0.take() }?.stop()
  }

  /// Looks soon who listens, where that must be told.
  func askForListeners() { listenerWatch.withLock { $0 }?.ask() }
}

extension FlowEvent {
  /// Whether it was judged by what policy gives to nobody, because nobody was told to listen there.
  fileprivate var isForUnknownReceiver: Bool {
    direction == .incoming && workload == 0 && subject == .unknown
  }
}
