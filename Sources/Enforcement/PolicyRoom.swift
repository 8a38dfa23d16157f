// Whether tables fit, and leave room for those that come after them.

package import Policy

/// The room that a policy may take.
package enum PolicyRoom {
  /// Refuses a policy that is too large for tables of some size, before anything is written.
  ///
  /// - Parameter needs: what the policy needs at least; workloads may need more.
  package static func check(_ needs: PolicyNeeds, _ limits: DatapathLimits) throws(DatapathError) {
    try check(needs.cells, beside: 0, table: "sp_policy", limit: limits.cells, share: limits.cellsPerPolicy)
    try check(
      needs.networks, beside: 0, table: "sp_networks", limit: limits.networks, share: limits.networksPerPolicy)
  }

  static func check(
    _ count: Int, beside active: Int, table: String, limit: Int, share: Int
  ) throws(DatapathError) {
    let fits = count <= share && count + active <= limit
    if fits { return }
    let reason =
      count > share
      ? "\(count) entries do not fit: a policy may have \(share) of \(limit), so that another can replace it"
      : "\(count) entries do not fit beside the \(active) in force: limit \(limit)"
    let needed = max(2 * count, count + active)
    let remedy =
      table == "sp_policy"
      ? "detach and run with --max-entries \(needed.roundedUpToPowerOfTwo)" : "use fewer or wider networks"
    throw DatapathError("write", table, reason: reason, remedy: remedy)
  }
}
