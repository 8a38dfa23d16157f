// Who is told to the mark view when there are more receivers than rows?

import Kernel
import Testing

@testable import Enforcement

@Suite struct ListenerShareTests {
  private func receivers(_ workload: UInt64, _ ports: Range<Int>, _ address: UInt64 = 1) -> [ListenerKey: MarkEndpoint]
  {
    var found: [ListenerKey: MarkEndpoint] = [:]
    for port in ports {
      let at = SocketAddress(high: 0, low: address, port: UInt16(port))
      found[ListenerKey(namespace: 1, protocol: 17, address: at)] = MarkEndpoint(workload: CgroupID(rawValue: workload))
    }
    return found
  }

  @Test("one that binds every port loses its own; who has fewer than an equal part keeps all, and what was told stays")
  func shares() {
    let few = receivers(1, 100..<120, 2).merging(receivers(2, 100..<150, 3)) { one, _ in one }
    let known = receivers(3, 1..<200)
    let wanted = few.merging(receivers(3, 1..<5000)) { one, _ in one }
    let kept = Listeners.shared(wanted, limit: 1000, known: known)
    #expect(kept.count == 1000)
    #expect(few.allSatisfy { kept[$0.key] == $0.value })
    #expect(known.allSatisfy { kept[$0.key] == $0.value })
    #expect(Listeners.shared(few, limit: 70, known: [:]) == few)
  }
}
