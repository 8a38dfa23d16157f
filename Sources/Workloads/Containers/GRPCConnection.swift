// Unary gRPC calls over HTTP/2 on a Unix socket: what the container runtime interface needs of gRPC.
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2
internal import NIOPosix

/// A connection to a gRPC server.
///
/// A call is one HTTP/2 stream: headers, one message behind a prefix of five bytes, and trailers with `grpc-status`
/// (gRPC over HTTP2). No compression is offered, so none may come.
struct GRPCConnection: Sendable {
  private let channel: any Channel
  private let streams: NIOHTTP2Handler.StreamMultiplexer
  private let socket: EngineSocket

  /// A failed call's status is this plus gRPC's: `NOT_FOUND` is 1,005.
  static let statusBase = 1000
  static let notFound = statusBase + 5
  static let unimplemented = statusBase + 12

  /// Connects; `close` must follow.
  static func open(_ socket: EngineSocket) async throws(EngineFailure) -> GRPCConnection {
    do {
      let (channel, streams) = try await ClientBootstrap(group: EngineSocket.loop).connectTimeout(
        TimeAmount(socket.connectWithin)
      )
      .connect(unixDomainSocketPath: socket.path) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ConnectionBound(2 * socket.largest))
          let streams = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
            mode: .client, connectionConfiguration: .init(), streamConfiguration: .init(),
            inboundStreamInitializer: { $0.close() })
          try channel.pipeline.syncOperations.addHandler(ConnectionEnd())
          return (channel, streams)
        }
      }
      return GRPCConnection(channel: channel, streams: streams, socket: socket)
    } catch {
      throw .unreachable(EngineSocket.reason(error))
    }
  }

  /// Ends the connection and every call on it.
  func close() { channel.close(promise: nil) }

  /// Returns once the other side has ended the connection, or the task was cancelled.
  func untilClosed() async throws(EngineFailure) {
    let promise = channel.eventLoop.makePromise(of: Void.self)
    channel.closeFuture.cascade(to: promise)
    try await EngineSocket.wait(promise)
  }

  /// Makes one call, such as to `/runtime.v1.RuntimeService/Version`.
  ///
  /// - Parameter metadata: further headers, lower-case.
  func call(
    _ method: String, _ message: [UInt8], metadata: [(String, String)] = []
  ) async throws(EngineFailure) -> [UInt8] {
    let promise = channel.eventLoop.makePromise(of: [UInt8].self)
    let opening = channel.eventLoop.makePromise(of: (any Channel).self)
    let largest = socket.largest
    streams.createStreamChannel(promise: opening) { stream in
      stream.eventLoop.makeCompletedFuture {
        try stream.pipeline.syncOperations.addHandler(
          UnaryCall(method, message, metadata: metadata, largest: largest, promise))
      }
    }
    opening.futureResult.whenFailure { promise.fail(EngineFailure.garbled(EngineSocket.reason($0))) }
    promise.futureResult.whenComplete { _ in opening.futureResult.whenSuccess { $0.close(promise: nil) } }
    let limit = socket.answerWithin
    let deadline = channel.eventLoop.scheduleTask(in: TimeAmount(limit)) {
      promise.fail(EngineFailure.slow(limit))
    }
    defer { deadline.cancel() }
    return try await EngineSocket.wait(promise)
  }
}

/// Ends a connection that brings more than anybody asked for.
///
/// Whatever is wrong with it, the HTTP/2 decoder keeps all that comes until its 32-bit sizes overflow.
private final class ConnectionBound: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private var rest: Int

  init(_ bytes: Int) { rest = bytes }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    rest -= unwrapInboundIn(data).readableBytes
    guard rest >= 0 else { return context.close(promise: nil) }
    context.fireChannelRead(data)
  }
}

/// Ends a connection that is no HTTP/2.
private final class ConnectionEnd: ChannelInboundHandler {
  typealias InboundIn = Any

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.fireErrorCaught(error)
    context.close(promise: nil)
  }
}

/// The stream of one call.
private final class UnaryCall: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload
  private let headers: HPACKHeaders
  private let message: [UInt8]
  private let largest: Int
  private let promise: EventLoopPromise<[UInt8]>
  private var body = ByteBuffer()

  init(
    _ method: String, _ message: [UInt8], metadata: [(String, String)], largest: Int,
    _ promise: EventLoopPromise<[UInt8]>
  ) {
    var headers: HPACKHeaders = [
      ":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost", "te": "trailers",
      "content-type": "application/grpc", "user-agent": "sallyport",
    ]
    for (name, value) in metadata { headers.add(name: name, value: value) }
    self.headers = headers
    self.message = message
    self.largest = largest
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
    var buffer = context.channel.allocator.buffer(capacity: 5 + message.count)
    // Not compressed; length, big endian.
    buffer.writeInteger(UInt8(0))
    buffer.writeInteger(UInt32(message.count))
    buffer.writeBytes(message)
    context.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(buffer), endStream: true))), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .headers(let frame):
      if let status = frame.headers.first(name: ":status"), status != "200" {
        promise.fail(EngineFailure.refused(status: Int(status) ?? 0, "HTTP/2"))
      } else if let status = frame.headers.first(name: "grpc-status") {
        finish(Int(status), frame.headers.first(name: "grpc-message") ?? "")
      }
    case .data(let frame):
      guard case .byteBuffer(var part) = frame.data, body.readableBytes + part.readableBytes <= largest else {
        promise.fail(EngineFailure.tooLarge(bytes: largest))
        return
      }
      body.writeBuffer(&part)
    case .rstStream, .goAway: promise.fail(EngineFailure.closed)
    default: break
    }
  }

  private func finish(_ status: Int?, _ reason: String) {
    guard let status else { return promise.fail(EngineFailure.garbled("a status that is no number")) }
    guard status == 0 else {
      return promise.fail(EngineFailure.refused(status: GRPCConnection.statusBase + status, String(reason.prefix(200))))
    }
    guard body.readInteger(as: UInt8.self) == 0, let length = body.readInteger(as: UInt32.self),
      body.readableBytes == Int(length)
    else { return promise.fail(EngineFailure.garbled("no single message")) }
    promise.succeed(Array(body.readableBytesView))
  }

  func channelInactive(context: ChannelHandlerContext) { promise.fail(EngineFailure.closed) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    promise.fail(EngineFailure.garbled(EngineSocket.reason(error)))
  }
}
