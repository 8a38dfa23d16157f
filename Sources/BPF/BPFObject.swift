// A BPF object file on its way into the kernel: open, configure, load; each state has its own type.
internal import CLibbpf
internal import Glibc
package import Kernel
internal import SystemPackage

/// The one owner of libbpf's object; safe because the pointer never leaves the two states below.
@safe struct ObjectHandle: ~Copyable {
  let pointer: OpaquePointer
  let name: String
  /// Where the kernel writes the verifier's log; libbpf keeps the address until the object is closed.
  let log: UnsafeMutableRawBufferPointer

  init(pointer: OpaquePointer, name: String, log: UnsafeMutableRawBufferPointer) {
    unsafe self.pointer = pointer
    self.name = name
    unsafe self.log = log
  }

  deinit {
    unsafe bpf_object__close(pointer)
    unsafe log.deallocate()
  }

  var verifierLog: String {
    unsafe String(decoding: log.prefix { $0 != 0 }, as: UTF8.self)
  }

  func map(_ name: String) throws(BPFError) -> OpaquePointer {
    guard let map = unsafe bpf_object__find_map_by_name(pointer, name) else {
      throw BPFError("find map", "\(name) in \(self.name)", .noSuchFileOrDirectory)
    }
    return unsafe map
  }

  func program(_ name: String) throws(BPFError) -> OpaquePointer {
    guard let program = unsafe bpf_object__find_program_by_name(pointer, name) else {
      throw BPFError("find program", "\(name) in \(self.name)", .noSuchFileOrDirectory)
    }
    return unsafe program
  }

  var mapNames: [String] {
    var names: [String] = []
    var map = unsafe bpf_object__next_map(pointer, nil)
    while let current = unsafe map {
      unsafe names.append(String(cString: bpf_map__name(current)))
      unsafe map = bpf_object__next_map(pointer, current)
    }
    return names
  }

  var programNames: [String] {
    var names: [String] = []
    var program = unsafe bpf_object__next_program(pointer, nil)
    while let current = unsafe program {
      unsafe names.append(String(cString: bpf_program__name(current)))
      unsafe program = bpf_object__next_program(pointer, current)
    }
    return names
  }
}

/// Where BPF objects begin.
package enum BPFObject {
  /// Parses an ELF object; nothing is in the kernel yet, and `bytes` may go afterwards.
  ///
  /// `name` prefixes the kernel's names of data sections: at most 8 characters are worth it.
  /// The corresponding function is `bpf_object__open_mem`.
  package static func open(bytes: RawSpan, name: String) throws(BPFError) -> OpenObject {
    // Lazily committed: only a failing load writes into it.
    let log = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    unsafe log.storeBytes(of: 0, as: UInt8.self)
    var failure: Int32 = 0
    let (pointer, complaints) = unsafe LibbpfLog.capture {
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe name.withCString { name in
          var options = unsafe bpf_object_open_opts()
          unsafe options.sz = MemoryLayout<bpf_object_open_opts>.size
          unsafe options.object_name = name
          unsafe options.kernel_log_buf = log.baseAddress?.assumingMemoryBound(to: CChar.self)
          unsafe options.kernel_log_size = log.count
          let pointer = unsafe bpf_object__open_mem(bytes.baseAddress, bytes.count, &options)
          failure = errno
          return unsafe pointer
        }
      }
    }
    guard let pointer = unsafe pointer else {
      unsafe log.deallocate()
      throw BPFError("open object", name, Errno(rawValue: failure), verifierLog: complaints)
    }
    return unsafe OpenObject(handle: ObjectHandle(pointer: pointer, name: name, log: log))
  }

  /// The same, for bytes in an array.
  package static func open(bytes: [UInt8], name: String) throws(BPFError) -> OpenObject {
    unsafe try open(bytes: bytes.span.bytes, name: name)
  }
}

/// An object that is parsed and can still be changed; not yet in the kernel.
package struct OpenObject: ~Copyable {
  let handle: ObjectHandle

  /// The maps, in the order of the file.
  package var mapNames: [String] { handle.mapNames }

  /// The programs, in the order of the file.
  package var programNames: [String] { handle.programNames }

  /// Writes `value` over the initial contents of the data section whose name ends with `section`.
  ///
  /// For `.rodata.config`: the verifier then sees constants and removes dead branches.
  /// Throws EINVAL if the section has another size than `T`.
  package borrowing func setReadOnlyData<T: BitwiseCopyable>(_ section: String, _ value: T) throws(BPFError) {
    guard let name = handle.mapNames.first(where: { $0.hasSuffix(section) }) else {
      throw BPFError("find section", "\(section) in \(handle.name)", .noSuchFileOrDirectory)
    }
    let map = try unsafe handle.map(name)
    var size = 0
    // libbpf says const, but this is how its skeletons write: the memory becomes the map's contents at load.
    guard let target = unsafe UnsafeMutableRawPointer(mutating: bpf_map__initial_value(map, &size)) else {
      throw BPFError("write section", name, .invalidArgument, remedy: "the map has no initial value")
    }
    guard size == MemoryLayout<T>.size else {
      let remedy = "the section has \(size) bytes, \(T.self) has \(MemoryLayout<T>.size)"
      throw BPFError("write section", name, .invalidArgument, remedy: remedy)
    }
    unsafe withUnsafeBytes(of: value) { value in
      unsafe UnsafeMutableRawBufferPointer(start: target, count: size).copyMemory(from: value)
    }
  }

  /// Sets the number of entries of a map.
  package borrowing func setMaxEntries(map name: String, _ count: UInt32) throws(BPFError) {
    try checkBPF(unsafe bpf_map__set_max_entries(handle.map(name), count), "set max entries", name)
  }

  /// Uses the map pinned at `path` instead of creating one; the kernel's sizes must be the object's.
  package borrowing func reusePinnedMap(_ name: String, path: String) throws(BPFError) {
    let pinned = try OwnedDescriptor.pinned(path, "map")
    try reuseMap(name, pinned)
  }

  /// Uses a map that exists instead of creating one; the descriptor is duplicated.
  package borrowing func reuseMap(_ name: String, _ descriptor: borrowing OwnedDescriptor) throws(BPFError) {
    try checkBPF(unsafe bpf_map__reuse_fd(handle.map(name), descriptor.raw), "reuse map", name)
  }

  /// Says whether a program is loaded at all; a kernel without its hook can then do without it.
  package borrowing func setAutoload(_ program: String, _ autoload: Bool) throws(BPFError) {
    try checkBPF(unsafe bpf_program__set_autoload(handle.program(program), autoload), "set autoload", program)
  }

  /// Creates the maps, verifies and loads the programs; on failure nothing stays in the kernel.
  ///
  /// The error carries the verifier's log; `verboseLog` asks for every instruction's state in it.
  /// The corresponding function is `bpf_object__load`.
  package consuming func load(verboseLog: Bool = false) throws(BPFError) -> LoadedObject {
    if verboseLog {
      for name in handle.programNames { _ = try unsafe bpf_program__set_log_level(handle.program(name), 2) }
    }
    let (rc, complaints) = LibbpfLog.capture { unsafe bpf_object__load(handle.pointer) }
    guard rc >= 0 else {
      let log = handle.verifierLog
      throw BPFError(
        "load object", handle.name, Errno(rawValue: -rc), verifierLog: log.isEmpty ? complaints : log + complaints)
    }
    return LoadedObject(handle: handle)
  }
}

/// An object whose maps and programs are in the kernel, as long as this value or a pin holds them.
package struct LoadedObject: ~Copyable {
  let handle: ObjectHandle

  /// The maps, in the order of the file.
  package var mapNames: [String] { handle.mapNames }

  /// The programs, in the order of the file; those without autoload are named too.
  package var programNames: [String] { handle.programNames }

  /// A program, with a descriptor of its own; ENOENT if it was not loaded.
  package borrowing func program(named name: String) throws(BPFError) -> BPFProgram {
    let raw = try unsafe bpf_program__fd(handle.program(name))
    return try BPFProgram(descriptor: OwnedDescriptor.duplicate(of: raw, "program \(name)"))
  }

  /// A map's descriptor, the caller's own.
  package borrowing func mapDescriptor(named name: String) throws(BPFError) -> OwnedDescriptor {
    let raw = try unsafe bpf_map__fd(handle.map(name))
    return try OwnedDescriptor.duplicate(of: raw, "map \(name)")
  }

  /// A typed view of a map, with a descriptor of its own.
  package borrowing func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    named name: String, key: Key.Type = Key.self, value: Value.Type = Value.self
  ) throws(BPFError) -> BPFMap<Key, Value> {
    try BPFMap(descriptor: mapDescriptor(named: name))
  }

  /// A typed view of a map with one value per CPU.
  package borrowing func perCPUMap<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    named name: String, key: Key.Type = Key.self, value: Value.Type = Value.self
  ) throws(BPFError) -> PerCPUMap<Key, Value> {
    try PerCPUMap(descriptor: mapDescriptor(named: name))
  }

  /// Pins every map under `directory` by its own name; libbpf's data sections (with a dot) are left out.
  package borrowing func pinMaps(at directory: String) throws(BPFError) {
    for name in handle.mapNames where !name.contains(".") {
      try mapDescriptor(named: name).pin(at: "\(directory)/\(name)")
    }
  }

  /// Pins one program.
  package borrowing func pinProgram(named name: String, at path: String) throws(BPFError) {
    try program(named: name).pin(at: path)
  }
}
