// Do objects open, take configuration, load, and explain refusal? One tiny object, written out below.
import BPF
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("Objects", .requires(.bpf))
struct ObjectTests {
  struct Configuration: BitwiseCopyable {
    var verdict: UInt32
    var pad: UInt32 = 0
  }

  private func object() throws(BPFError) -> OpenObject {
    try BPFObject.open(bytes: decodeBase64(tinyObject), name: "tiny")
  }

  private func loadUnchanged() throws(BPFError) -> LoadedObject {
    let open = try object()
    return try open.load(verboseLog: true)
  }

  @Test("The configuration written before loading is what the program reads", arguments: [UInt32(0), 1])
  func configuration(_ verdict: UInt32) throws {
    let open = try object()
    try open.setReadOnlyData(".rodata.config", Configuration(verdict: verdict))
    try open.setAutoload("t_refused", false)
    let loaded = try open.load()
    let packet = PacketBuilder.ipv4(from: [10, 0, 0, 1], to: [10, 0, 0, 2]).udp(from: 1, to: 2).bytes
    let ran = try loaded.program(named: "t_egress").testRun(packet: packet)
    #expect(ran.returnValue == verdict)
    let map: BPFMap<UInt32, UInt64> = try loaded.map(named: "t_hash")
    #expect(try map[1] != nil)
    #expect(loaded.programNames == ["t_egress", "t_refused"])
    #expect(loaded.mapNames.contains("t_hash"))
  }

  @Test("A configuration of another size is refused with both sizes")
  func wrongSize() throws {
    let open = try object()
    let error = #expect(throws: BPFError.self) { try open.setReadOnlyData(".rodata.config", UInt32(1)) }
    #expect(error?.remedy?.hasSuffix("has 8 bytes, UInt32 has 4") == true)
    let missing = #expect(throws: BPFError.self) { try open.setReadOnlyData(".rodata.none", UInt64(1)) }
    #expect(missing?.errno == .noSuchFileOrDirectory)
  }

  @Test("A program that the verifier refuses is an error with its log")
  func refused() throws {
    let error = #expect(throws: BPFError.self) { _ = try loadUnchanged() }
    #expect(error?.operation == "load object")
    #expect(error?.verifierLog?.contains("invalid mem access") == true)
  }

  @Test("Maps can be resized, and a pinned one is used again with its entries", .requires(.root, .cgroups, .pins))
  func reuse() throws {
    try withSandbox { sandbox in
      let directory = try sandbox.makePinDirectory()
      do {
        let open = try object()
        try open.setAutoload("t_refused", false)
        try open.setMaxEntries(map: "t_hash", 99)
        let loaded = try open.load()
        let map: BPFMap<UInt32, UInt64> = try loaded.map(named: "t_hash")
        let info = map.info
        #expect(info.maxEntries == 99)
        try map.set(7, for: 3)
        try loaded.pinMaps(at: directory)
        try loaded.pinProgram(named: "t_egress", at: directory + "/program")
      }
      let open = try object()
      try open.setAutoload("t_refused", false)
      try open.setMaxEntries(map: "t_hash", 99)
      try open.reusePinnedMap("t_hash", path: directory + "/t_hash")
      let loaded = try open.load()
      let map: BPFMap<UInt32, UInt64> = try loaded.map(named: "t_hash")
      #expect(try map[3] == 7)
      let tags = [try BPFProgram.pinned(directory + "/program").tag, try loaded.program(named: "t_egress").tag]
      #expect(tags[0] == tags[1])
    }
  }
}

/// The bytes of a base64 text; other characters are skipped.
func decodeBase64(_ text: String) -> [UInt8] {
  var bytes: [UInt8] = []
  var bits: UInt32 = 0
  var count = 0
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  for character in text.utf8 {
    guard let value = alphabet.firstIndex(of: character) else { continue }
    bits = bits << 6 | UInt32(value)
    count += 6
    guard count >= 8 else { continue }
    count -= 8
    bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
  }
  return bytes
}
