// HTTP/1.1 to a container engine: whole answers, and streams of lines.
internal import NIOCore
internal import NIOHTTP1

/// The Docker Engine API's transport, which Podman speaks too.
struct EngineHTTP: Sendable {
  var socket: EngineSocket

  init(_ socket: EngineSocket) { self.socket = socket }

  /// Asks for a target such as `/containers/ID/json`; gives its body, or nil when there is no such thing (404).
  func get(_ target: String) async throws(EngineFailure) -> [UInt8]? {
    let largest = socket.largest
    return try await socket.exchange(within: socket.answerWithin) { channel, promise in
      try channel.pipeline.syncOperations.addHTTPClientHandlers()
      try channel.pipeline.syncOperations.addHandler(WholeAnswer(target, largest: largest, promise))
    }
  }

  /// Reads an endless answer line by line until it ends, which is always a failure.
  ///
  /// - Parameter opened: called once the engine has accepted.
  func lines(
    _ target: String, opened: @escaping @Sendable () -> Void, line: @escaping @Sendable ([UInt8]) -> Void
  ) async throws(EngineFailure) {
    let (largest, limit) = (socket.largest, socket.answerWithin)
    try await socket.exchange(within: nil) { (channel, promise: EventLoopPromise<Void>) in
      try channel.pipeline.syncOperations.addHTTPClientHandlers()
      try channel.pipeline.syncOperations.addHandler(
        LineAnswer(target, largest: largest, within: limit, promise, opened: opened, line: line))
    }
  }
}

/// The request, once the connection stands.
private func send(_ target: String, _ context: ChannelHandlerContext) {
  var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target)
  head.headers.add(name: "Host", value: "localhost")
  head.headers.add(name: "User-Agent", value: "sallyport")
  context.write(NIOAny(HTTPClientRequestPart.head(head)), promise: nil)
  context.writeAndFlush(NIOAny(HTTPClientRequestPart.end(nil)), promise: nil)
}

/// Collects one answer up to a bound.
private final class WholeAnswer: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart
  private let target: String
  private let largest: Int
  private let promise: EventLoopPromise<[UInt8]?>
  private var status = 0
  private var body = ByteBuffer()

  init(_ target: String, largest: Int, _ promise: EventLoopPromise<[UInt8]?>) {
    self.target = target
    self.largest = largest
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) { send(target, context) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): status = Int(head.status.code)
    case .body(var part):
      guard body.readableBytes + part.readableBytes <= largest else {
        promise.fail(EngineFailure.tooLarge(bytes: largest))
        return
      }
      body.writeBuffer(&part)
    case .end:
      switch status {
      case 200: promise.succeed(Array(body.readableBytesView))
      case 404: promise.succeed(nil)
      default: promise.fail(EngineFailure.refused(status: status, firstLine(Array(body.readableBytesView))))
      }
    }
  }

  func channelInactive(context: ChannelHandlerContext) { promise.fail(EngineFailure.closed) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
}

/// Cuts an endless answer into lines.
private final class LineAnswer: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart
  private let target: String
  private let largest: Int
  private let limit: Duration
  private let promise: EventLoopPromise<Void>
  private let opened: @Sendable () -> Void
  private let line: @Sendable ([UInt8]) -> Void
  private var pending = ByteBuffer()
  private var deadline: Scheduled<Void>?

  init(
    _ target: String, largest: Int, within limit: Duration, _ promise: EventLoopPromise<Void>,
    opened: @escaping @Sendable () -> Void, line: @escaping @Sendable ([UInt8]) -> Void
  ) {
    self.target = target
    self.largest = largest
    self.limit = limit
    self.promise = promise
    self.opened = opened
    self.line = line
  }

  func channelActive(context: ChannelHandlerContext) {
    // Only the head is bounded in time: no event may happen for days.
    let (promise, limit) = (promise, limit)
    deadline = context.eventLoop.scheduleTask(in: TimeAmount(limit)) { promise.fail(EngineFailure.slow(limit)) }
    send(target, context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      deadline?.cancel()
      guard head.status == .ok else {
        promise.fail(EngineFailure.refused(status: Int(head.status.code), head.status.reasonPhrase))
        return
      }
      opened()
    case .body(var part):
      // What waits holds no newline: looking at it again with every part would be quadratic.
      while let length = part.readableBytesView.firstIndex(of: UInt8(ascii: "\n")).map({ $0 - part.readerIndex }),
        var end = part.readSlice(length: length)
      {
        part.moveReaderIndex(forwardBy: 1)
        pending.writeBuffer(&end)
        if pending.readableBytes > 0 { line(Array(pending.readableBytesView)) }
        pending.clear()
      }
      pending.writeBuffer(&part)
      if pending.readableBytes > largest { promise.fail(EngineFailure.tooLarge(bytes: largest)) }
    case .end: promise.fail(EngineFailure.closed)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    promise.fail(EngineFailure.closed)
  }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
}

/// What an engine says about a refusal, short enough for a line of a log.
private func firstLine(_ body: [UInt8]) -> String {
  String(String(decoding: body.prefix(200), as: UTF8.self).filter { $0 >= " " })
}
