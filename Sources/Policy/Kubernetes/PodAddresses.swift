// Pods by address: a rule over CIDRs is also about the pods in them, and pods are known by labels.

/// The CIDRs of one rule.
struct BlockGroup: Hashable {
  let blocks: [AddressBlock]
  /// Whether all of a pod's addresses must be in the blocks.
  ///
  /// A label has no address family. So what lets traffic pass holds for pods that are wholly in the blocks, and what
  /// refuses it for pods that are partly in them: never is more let through than was written.
  let mustHoldAll: Bool

  /// Stands for the group in the key of a label: 16 hexadecimal digits of FNV-1a over what it says.
  var token: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in (text + (mustHoldAll ? "" : " or partly")).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  var text: String { blocks.map(\.text).joined(separator: ", ") }

  /// The blocks that a rule names, the addresses of nodes among them: pods in the network of a node have those.
  init?(_ rule: RuleManifest, _ nodes: [NodeManifest]) {
    var blocks: [AddressBlock] = []
    for peer in rule.peers ?? [] {
      switch peer {
      case .block(let block): blocks.append(block)
      case .nodes(let selector):
        for node in nodes where selector.matches(node.labels) {
          blocks += node.addresses.map { AddressBlock(prefix: IPPrefix($0), except: []) }
        }
      case .pods, .nothing: break
      }
    }
    if blocks.isEmpty { return nil }
    self.blocks = Set(blocks).sorted { $0.text < $1.text }
    mustHoldAll = rule.action != .reject
  }
}

/// Which groups of blocks contain which addresses.
struct BlockIndex {
  private var groups: [BlockGroup] = []
  private var byPrefix: [IPPrefix: [(block: AddressBlock, group: Int)]] = [:]
  private var lengths: [Int] = []
  /// Groups that a pod with addresses of both families is partly in.
  private(set) var partial: [BlockGroup: Int] = [:]

  init(_ all: Set<BlockGroup>) {
    groups = all.sorted { $0.token < $1.token }
    for (index, group) in groups.enumerated() {
      for block in group.blocks { byPrefix[block.prefix, default: []].append((block, index)) }
    }
    lengths = Set(byPrefix.keys.map(\.length)).sorted()
  }

  private func containing(_ address: IPAddress) -> Set<Int> {
    var found: Set<Int> = []
    for length in lengths {
      for (block, group) in byPrefix[IPPrefix(masking: address, length: length)] ?? [] where block.contains(address) {
        found.insert(group)
      }
    }
    return found
  }

  /// The groups that a pod with these addresses is in.
  mutating func groups(of addresses: [IPAddress]) -> [BlockGroup] {
    guard let first = addresses.first, !groups.isEmpty else { return [] }
    var all = containing(first)
    var any = all
    for address in addresses.dropFirst() {
      let own = containing(address)
      all.formIntersection(own)
      any.formUnion(own)
    }
    for index in any.subtracting(all) { partial[groups[index], default: 0] += 1 }
    return any.sorted().filter { all.contains($0) || !groups[$0].mustHoldAll }.map { groups[$0] }
  }
}
