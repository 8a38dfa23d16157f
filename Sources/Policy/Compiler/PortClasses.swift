// Ports that the same port specifications match are one class.

/// The port class of everything that has a port, and the classes that each port specification covers.
struct PortClasses {
  /// As in `Tables.portClasses`.
  private(set) var classes = [UInt16](repeating: 0, count: Tables.portClassCount)
  /// The classes of each narrow specification, ascending.
  private(set) var classesOfSpec: [PortSpec: [UInt16]] = [:]

  private var numbers: [[UInt32]: UInt16] = [:]

  /// Splits the ports by all specifications but `any`.
  init(_ specs: Set<PortSpec>) throws(CompileError) {
    var ranges: [IPProtocol: [PortRange]] = [:]
    for case .ports(let proto, let range) in specs { ranges[proto, default: []].append(range) }
    for (proto, ranges) in ranges.sorted(by: { $0.key < $1.key }) { try split(proto, ranges.sorted()) }
  }

  /// Walks the ports of one protocol from boundary to boundary, with the ranges that are open there.
  private mutating func split(_ proto: IPProtocol, _ ranges: [PortRange]) throws(CompileError) {
    // Where ranges open, and the first port after them where they close.
    var opening: [Int: [UInt32]] = [:]
    var closing: [Int: [UInt32]] = [:]
    for (index, range) in ranges.enumerated() {
      opening[Int(range.first), default: []].append(UInt32(index))
      closing[Int(range.last) + 1, default: []].append(UInt32(index))
    }
    let boundaries = Set(opening.keys).union(closing.keys).sorted()
    var open: [UInt32] = []
    // A set of ranges is one of this protocol, so numbers are looked up among its own.
    numbers.removeAll(keepingCapacity: true)
    for (start, end) in zip(boundaries, boundaries.dropFirst()) {
      if let closed = closing[start] { open.removeAll { closed.contains($0) } }
      if let opened = opening[start] {
        open.append(contentsOf: opened)
        open.sort()
      }
      if open.isEmpty { continue }
      let number = try number(of: open, proto, ranges)
      let base = Tables.portIndex(proto, 0)
      for port in start..<end { classes[base + port] = number }
    }
  }

  private mutating func number(
    of open: [UInt32], _ proto: IPProtocol, _ ranges: [PortRange]
  ) throws(CompileError) -> UInt16 {
    if let known = numbers[open] { return known }
    guard used < UInt16.max else {
      throw CompileError(
        problem: "the port ranges of all rules split the ports into more than \(UInt16.max) classes",
        remedy: "use fewer different port ranges")
    }
    used += 1
    numbers[open] = used
    for index in open { classesOfSpec[.ports(proto, ranges[Int(index)]), default: []].append(used) }
    return used
  }

  private var used: UInt16 = 0
}
