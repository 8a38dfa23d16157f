// libyaml's events one after the other: the only place that knows libyaml.

internal import CYaml

/// A place where a text stops being YAML, in libyaml's words.
struct YAMLFault: Error {
  let problem: String
  /// What libyaml was reading, such as `while scanning a tag`; may be empty.
  let context: String
  /// From 1.
  let line: Int
  /// From 1.
  let column: Int
}

/// The events of a YAML stream.
///
/// A list of ten thousand pods need not be one tree: the reader takes it item by item.
@safe final class YAMLEvents {
  /// What comes next in the text.
  enum Kind {
    case documentStart
    case documentEnd
    case streamEnd
    case alias(String)
    case scalar(String, isPlain: Bool, tag: String?, anchor: String?)
    case listStart(tag: String?, anchor: String?)
    case mappingStart(tag: String?, anchor: String?)
    /// The end of the list or mapping that was started last.
    case collectionEnd
  }

  struct Event {
    let kind: Kind
    let line: Int
    let column: Int
  }

  private let parser: UnsafeMutablePointer<yaml_parser_t>

  /// Calls `body` with the events of a text in UTF-8, without a byte order mark.
  static func read<Result>(
    _ text: ArraySlice<UInt8>, _ body: (YAMLEvents) throws(YAMLFault) -> Result
  ) throws(YAMLFault) -> Result {
    let outcome = unsafe text.withUnsafeBufferPointer { buffer in
      let events = unsafe YAMLEvents(buffer)
      return withExtendedLifetime(events) { () -> Swift.Result<Result, YAMLFault> in
        do throws(YAMLFault) { return .success(try body(events)) } catch { return .failure(error) }
      }
    }
    return try outcome.get()
  }

  private init(_ text: UnsafeBufferPointer<UInt8>) {
    unsafe parser = .allocate(capacity: 1)
    unsafe parser.initialize(to: yaml_parser_t())
    _ = unsafe yaml_parser_initialize(parser)
    unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    unsafe yaml_parser_set_input_string(parser, text.baseAddress, text.count)
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
  }

  /// The next event; the start of the stream is passed over.
  func next() throws(YAMLFault) -> Event {
    while true {
      var event = unsafe yaml_event_t()
      guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw fault() }
      let kind = unsafe Self.kind(event)
      let mark = unsafe event.start_mark
      unsafe yaml_event_delete(&event)
      if let kind { return Event(kind: kind, line: Int(mark.line) + 1, column: Int(mark.column) + 1) }
    }
  }

  private static func kind(_ event: yaml_event_t) -> Kind? {
    let data = unsafe event.data
    switch unsafe event.type {
    case YAML_DOCUMENT_START_EVENT: return .documentStart
    case YAML_DOCUMENT_END_EVENT: return .documentEnd
    case YAML_ALIAS_EVENT: return unsafe .alias(text(data.alias.anchor) ?? "")
    case YAML_SCALAR_EVENT:
      let scalar = unsafe data.scalar
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      return unsafe .scalar(
        String(decoding: bytes, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE,
        tag: text(scalar.tag), anchor: text(scalar.anchor))
    case YAML_SEQUENCE_START_EVENT:
      let start = unsafe data.sequence_start
      return unsafe .listStart(tag: text(start.tag), anchor: text(start.anchor))
    case YAML_MAPPING_START_EVENT:
      let start = unsafe data.mapping_start
      return unsafe .mappingStart(tag: text(start.tag), anchor: text(start.anchor))
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: return .collectionEnd
    case YAML_STREAM_START_EVENT: return nil
    default: return .streamEnd
    }
  }

  private static func text(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    unsafe bytes.map { unsafe String(cString: $0) }
  }

  private func fault() -> YAMLFault {
    let parser = unsafe parser.pointee
    let isReader = unsafe parser.error == YAML_READER_ERROR
    let mark = unsafe isReader ? parser.mark : parser.problem_mark
    return YAMLFault(
      problem: unsafe parser.problem.map { unsafe String(cString: $0) } ?? "unknown problem",
      context: unsafe parser.context.map { unsafe String(cString: $0) } ?? "", line: Int(mark.line) + 1,
      column: Int(mark.column) + 1)
  }
}
