// A Unix socket that behaves as no engine should: it hangs, stops in the middle, or answers with what it is told.
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// What a faulty engine does with one connection once it has read a request.
package enum EngineBehaviour: Sendable {
  /// Writes these bytes and ends the connection.
  case answer(String)
  /// Writes these bytes and leaves the connection open.
  case answerAndStay(String)
  /// Writes the text, then the byte again and again until the other side has enough.
  case flood(String, UInt8)
  /// Says nothing and leaves the connection open.
  case hang
  /// Ends the connection without a word.
  case hangUp
}

/// A server of faults at a path; not a substitute for an engine, but for what may be in its place.
package final class FaultyEngine: Sendable {
  /// Where it listens.
  package let path: String
  private let state: Mutex<State>

  private struct State {
    var behaviour: @Sendable (String) -> EngineBehaviour
    var requests: [String] = []
    var connections: [Int32] = []
    /// The listening socket until its thread closes it; its number may be any other socket's after that.
    var listener: Int32?
    var isOver = false
  }

  /// Listens at `path`; `behaviour` is asked with the first line of every request.
  package init(at path: String, _ behaviour: @escaping @Sendable (String) -> EngineBehaviour) throws {
    self.path = path
    state = Mutex(State(behaviour: behaviour))
    let socket = try LocalSocket.listen(at: FilePath(path))
    // A descriptor of its own: the listening socket is noncopyable and would end with this initializer.
    let listener = dup(socket.raw)
    state.withLock { $0.listener = listener }
    _ = try DedicatedThread.start("faulty-engine") { [self] in serve(connectionsOf: listener) }
  }

  /// The first lines of the requests so far.
  package var requests: [String] { state.withLock { $0.requests } }

  /// Behaves otherwise from now on.
  package func behave(_ behaviour: @escaping @Sendable (String) -> EngineBehaviour) {
    state.withLock { $0.behaviour = behaviour }
  }

  /// Ends every connection that stayed open.
  package func hangUp() {
    state.withLock { state in
      for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
    }
  }

  /// Stops listening, ends every connection and removes the socket.
  package func stop() {
    state.withLock { $0.isOver = true }
    hangUp()
    // Wakes the thread in accept(2), which then closes the listener.
    state.withLock { state in
      if let listener = state.listener { shutdown(listener, Int32(SHUT_RDWR)) }
    }
    _ = unsafe unlink(path)
  }

  private func serve(connectionsOf listener: Int32) {
    while true {
      let connection = acceptClosingOnExec(listener)
      guard connection >= 0, !state.withLock({ $0.isOver }) else {
        if connection >= 0 { close(connection) }
        break
      }
      state.withLock { $0.connections.append(connection) }
      _ = try? DedicatedThread.start("faulty-answer") { [self] in serve(connection) }
    }
    state.withLock { $0.listener = nil }
    close(listener)
  }

  private func serve(_ connection: Int32) {
    var request: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while !request.suffix(4).elementsEqual("\r\n\r\n".utf8) {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe recv(connection, $0.baseAddress, $0.count, 0) }
      guard count > 0 else { return end(connection) }
      request += chunk[..<count]
      // HTTP/2 begins with a preface and goes on with frames, which end otherwise.
      if request.starts(with: "PRI * HTTP/2.0".utf8) { break }
    }
    let line = String(decoding: request.prefix { $0 != 13 }, as: UTF8.self)
    let behaviour = state.withLock { state in
      state.requests.append(line)
      return state.behaviour
    }
    switch behaviour(line) {
    case .answer(let text):
      _ = write(Array(text.utf8), connection)
      end(connection)
    case .answerAndStay(let text):
      _ = write(Array(text.utf8), connection)
      wait(connection)
    case .flood(let head, let byte):
      let bytes = [UInt8](repeating: byte, count: 65536)
      if write(Array(head.utf8), connection) { while write(bytes, connection) {} }
      end(connection)
    case .hang: wait(connection)
    case .hangUp: end(connection)
    }
  }

  /// Reads until the other side, or `stop`, ends the connection.
  private func wait(_ connection: Int32) {
    var byte: UInt8 = 0
    while unsafe recv(connection, &byte, 1, 0) > 0 {}
    end(connection)
  }

  private func end(_ connection: Int32) {
    state.withLock { $0.connections.removeAll { $0 == connection } }
    close(connection)
  }

  private func write(_ bytes: [UInt8], _ connection: Int32) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let start = sent
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe send(connection, buffer.baseAddress?.advanced(by: start), buffer.count - start, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }
}

/// A directory of its own with a short path, as the paths of Unix sockets must be; removed afterwards.
package func withShortDirectory<T>(_ body: (String) async throws -> T) async throws -> T {
  _ = abandonedDirectoriesAreRemoved
  let path = "/tmp/sp-\(getpid())-\(directories.add(1, ordering: .relaxed).newValue)"
  try makeDirectory(path, mode: 0o700)
  let result: Result<T, any Error>
  do { result = .success(try await body(path)) } catch { result = .failure(error) }
  try removeDirectoryTree(path)
  return try result.get()
}

private let directories = Atomic<Int>(0)

/// Those of processes that are gone are removed once, before the first new one.
private let abandonedDirectoriesAreRemoved: Void = {
  for name in (try? directoryNames("/tmp")) ?? [] where name.hasPrefix("sp-") {
    let parts = name.split(separator: "-")
    guard parts.count == 3, let pid = Int32(parts[1]), kill(pid, 0) != 0, errno == ESRCH else { continue }
    try? removeDirectoryTree("/tmp/\(name)")
  }
}()

/// Removes a directory with everything in it, through the program that is made for it.
func removeDirectoryTree(_ path: String) throws {
  let child = try ChildProcess.start("/bin/rm", ["-rf", "--one-file-system", path])
  _ = try child.wait()
}
