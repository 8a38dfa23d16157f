// The programs of this very build, and waiting for what they do.
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import Testing

/// The executables beside the test bundle.
package enum Product {
  /// The agent and its command line: `SALLYPORT` of the environment, else this very build's.
  package static let sallyport = unsafe getenv("SALLYPORT").map { unsafe String(cString: $0) } ?? path("sallyport")

  /// Where the executable of that name is, built or not; absolute.
  package static func path(_ name: String) -> String {
    let own = FileIdentity.resolved("/proc/self/exe") ?? FilePath(CommandLine.arguments.first ?? "")
    return own.removingLastComponent().appending(name).string
  }
}

extension MachineRequirement {
  /// The product of this very build.
  package static let product = MachineRequirement("the sallyport executable") {
    isThere(Product.sallyport) ? nil : "\(Product.sallyport) is not built"
  }

  /// Permission events of fanotify.
  package static let executionGuard = MachineRequirement("fanotify permission events") {
    do throws(KernelError) {
      _ = try ExecutionPermissions()
      return nil
    } catch {
      return error.description
    }
  }
}

/// Waits until a condition holds, which another process makes true; the test fails if it does not in time.
///
/// For a test with a thread of its own, or in the separate pass: the calling thread sleeps.
package func eventually(
  _ what: @autoclosure () -> String, seconds: UInt64 = 60, _ condition: () throws -> Bool
) throws {
  let end = Clock.monotonicNanoseconds() + seconds * 1_000_000_000
  while try !condition() {
    try #require(Clock.monotonicNanoseconds() < end, "\(what())")
    usleep(20_000)
  }
}
