// Which datapath enforces: the one that was asked for, or the best that this kernel really takes.
internal import Enforcement
internal import Logging

extension DatapathKind {
  /// A datapath, and why it is this one.
  struct Chosen {
    let datapath: any KernelDatapath
    let reason: String
  }

  /// Opens what was asked for, or tries the kinds from the best on: what loads and attaches to a cgroup of its own is
  /// taken.
  ///
  /// - Throws: if the one asked for does not work; if none does, the error of the best with that of the other.
  static func choose(
    _ wanted: DatapathKind?, _ options: DatapathOptions, state: StateDirectory, logger: Logger
  ) throws(DatapathError) -> Chosen {
    if let wanted {
      do throws(DatapathError) {
        return Chosen(datapath: try wanted.open(options, state: state), reason: "as configured")
      } catch {
        VerifierLog.keep(error, in: state, logger: logger)
        throw error
      }
    }
    let best: DatapathError
    do throws(DatapathError) {
      let datapath = try DatapathKind.cgroup.openAndTry(options, state: state)
      return Chosen(datapath: datapath, reason: "preferred; supported on this kernel")
    } catch {
      guard error.operation != "lock", error.operation != "adopt" else { throw error }
      best = error
    }
    VerifierLog.keep(best, in: state, logger: logger)
    logger.warning("the cgroup datapath does not work here: \(best)")
    do throws(DatapathError) {
      let datapath = try DatapathKind.netfilter.openAndTry(options, state: state)
      return Chosen(datapath: datapath, reason: "the cgroup datapath does not work here: \(best.problem)")
    } catch {
      throw DatapathError(
        "choose", "datapath", reason: "cgroup: \(best.problem); netfilter: \(error.problem)", underlying: best,
        remedy: "run `sallyport probe` to see what this kernel takes")
    }
  }

  private func openAndTry(
    _ options: DatapathOptions, state: StateDirectory
  ) throws(DatapathError) -> any KernelDatapath {
    let datapath = try open(options, state: state)
    // What was attached before has shown that it can be.
    guard datapath.holdings.isNew else { return datapath }
    do throws(DatapathError) {
      try datapath.tryToAttach()
    } catch {
      // It enforced nothing; the error that matters is why. What the other kind enforces is not touched.
      try? datapath.detach()
      throw error
    }
    return datapath
  }
}
