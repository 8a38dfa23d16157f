// swift-tools-version: 6.2
// The one page that shows the arrows: every target, what it may import, and why each dependency is here.
import PackageDescription

/// The settings that every Swift target of this house is built with.
let house: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// Errno and FilePath, for whoever handles errors and paths of the kernel.
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
  name: "sallyport",
  products: [
    .executable(name: "sallyport", targets: ["sallyport"]),
    .executable(name: "sallyport-bench", targets: ["sallyport-bench"]),
  ],
  dependencies: [
    // The command line: nouns, verbs, help, completions.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // SHA-256 for the content hash that is an identity.
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    // HTTP/1 and HTTP/2 over the unix sockets of container engines (docs/decisions/0008).
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.38.0"),
    // The agent's own log.
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    // Errno and FilePath.
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    // The messages of the container runtime interface; its runtime alone, no plugin.
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.33.0"),
    // The agent's services start and stop together, also on SIGTERM.
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    // Policy documents, with the line and column of every node.
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // What Linux offers and Glibc's module does not show to Swift.
    .target(name: "CLinux"),
    // libbpf as it is; only BPF imports it.
    .systemLibrary(
      name: "CLibbpf", pkgConfig: "libbpf",
      providers: [.apt(["libbpf-dev", "libelf-dev", "zlib1g-dev"])]),
    // Every byte that crosses between kernel and Swift, and the prebuilt programs; for Enforcement and Workloads/Events.
    .target(
      name: "CDatapath", path: "bpf",
      exclude: [
        "README.md", "lib", "maps.h", "cgroup.bpf.c", "workload.bpf.c", "prebuilt/cgroup.bpf.o",
        "prebuilt/workload.bpf.o", "prebuilt/MANIFEST",
      ],
      sources: ["prebuilt/object.c"], publicHeadersPath: "include"),

    // Pure: labels, identities, selectors, rules; the verdict; the compiler to tables. Of Yams the C module, libyaml.
    .target(
      name: "Policy",
      dependencies: [.product(name: "Crypto", package: "swift-crypto"), "Yams"],
      swiftSettings: house),
    // Reads and writes JSON by hand, where a hundred thousand values make `Codable` too slow; a leaf.
    .target(name: "JSON", swiftSettings: house),
    // Linux with Swift manners.
    .target(
      name: "Kernel",
      dependencies: ["CLinux", system],
      swiftSettings: house),
    // libbpf as Swift values.
    .target(name: "BPF", dependencies: ["CLibbpf", "CLinux", "Kernel", system], swiftSettings: house),
    // The single writer of the kernel's tables.
    .target(
      name: "Enforcement",
      dependencies: ["Policy", "Kernel", "BPF", "JSON", "CDatapath", system, logging],
      swiftSettings: house),
    // What runs here, and which labels it has; its own programs on tracepoints, so BPF and CDatapath.
    .target(
      name: "Workloads",
      dependencies: [
        "Policy", "Kernel", "BPF", "JSON", "CDatapath", "Enforcement", system, logging,
        .product(name: "Crypto", package: "swift-crypto"), "Yams",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"),
        .product(name: "NIOHPACK", package: "swift-nio-http2"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: house),
    // Flow records, counters, and how they are shown.
    .target(
      name: "Evidence", dependencies: ["Policy", "Kernel", "JSON", "Enforcement", system], swiftSettings: house),
    // What a datapath covers on this kernel, found out by trying.
    .target(
      name: "Coverage", dependencies: ["Policy", "Kernel", "Enforcement", system, logging], swiftSettings: house),
    // What this host must have before anything is attached, found out; YAML for the files of clusters.
    .target(
      name: "Preflight", dependencies: ["Kernel", "BPF", "Enforcement", "Workloads", system, "Yams"],
      swiftSettings: house),

    .executableTarget(
      name: "sallyport",
      dependencies: [
        "Policy", "Kernel", "JSON", "Enforcement", "Workloads", "Evidence", "Coverage", "Preflight", system,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        logging,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        "Yams",
      ],
      swiftSettings: house),
    // Pure: the statistics of measurements, results and their comparison, tables and plots.
    .target(name: "Benchmark", swiftSettings: house),
    .executableTarget(
      name: "sallyport-bench",
      dependencies: [
        "Benchmark", "Policy", "Kernel", "BPF", "JSON", "Enforcement", "Evidence", "Workloads", system, logging,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: house),

    // Sandboxes (cgroup, network namespace, bpffs) and packets for the tests.
    .target(
      name: "TestSupport",
      dependencies: [
        "Policy", "Kernel", "BPF", "Enforcement", "Workloads", "Coverage", "Benchmark", "CLinux", system, logging,
      ],
      path: "Tests/Support", swiftSettings: house),
    .testTarget(
      name: "BenchmarkTests", dependencies: ["Benchmark", "Kernel", "TestSupport", system], exclude: ["Fixtures"],
      swiftSettings: house),
    .testTarget(
      name: "PolicyTests", dependencies: ["Policy", "Kernel", "TestSupport", system], exclude: ["Fixtures"],
      swiftSettings: house),
    .testTarget(
      name: "KernelTests", dependencies: ["Kernel", "TestSupport", system],
      resources: [.copy("Fixtures")], swiftSettings: house),
    .testTarget(name: "BPFTests", dependencies: ["BPF", "Kernel", "TestSupport", system], swiftSettings: house),
    .testTarget(
      name: "EnforcementTests",
      dependencies: [
        "Enforcement", "Policy", "Kernel", "BPF", "CDatapath", "JSON", "TestSupport", system, logging,
      ],
      swiftSettings: house),
    .testTarget(
      name: "WorkloadsTests",
      dependencies: [
        "Workloads", "Enforcement", "Policy", "Kernel", "BPF", "CDatapath", "TestSupport", system, logging,
      ],
      swiftSettings: house),
    .testTarget(
      name: "EvidenceTests",
      dependencies: ["Evidence", "Enforcement", "Policy", "Kernel", "BPF", "JSON", "CDatapath", "TestSupport"],
      swiftSettings: house),
    .testTarget(
      name: "PreflightTests", dependencies: ["Preflight", "Enforcement", "BPF", "Kernel", "TestSupport", system],
      swiftSettings: house),
    .testTarget(
      name: "DatapathTests",
      dependencies: [
        "CDatapath", "BPF", "Enforcement", "Kernel", "Policy", "TestSupport", logging, system,
      ],
      swiftSettings: house),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "CDatapath", "BPF", "Enforcement", "Evidence", "Workloads", "Coverage", "Kernel", "Policy", "TestSupport",
        system,
        logging,
      ],
      swiftSettings: house),
  ],
  cLanguageStandard: .gnu2x
)
