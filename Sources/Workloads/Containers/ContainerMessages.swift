// The few messages of the container runtime interface and of containerd that are used, with only the fields that are read.
internal import SwiftProtobuf

// Written by hand in the form that protoc-gen-swift gives (building the plugin takes ten minutes, these take none).
// Field numbers: k8s.io/cri-api runtime/v1 and v1alpha2 api.proto, which agree in all of these, and containerd
// api/services/containers/v1/containers.proto. What else a server sends is skipped.

/// What every message here does alike.
protocol EngineMessage: Message, Hashable {}

extension EngineMessage {
  /// Messages of another kind are not equal.
  func isEqualTo(message: any Message) -> Bool { self == message as? Self }
}

/// A map of strings, such as labels.
typealias StringMap = _ProtobufMap<ProtobufString, ProtobufString>

/// `ContainerStatusRequest`: container_id 1, verbose 2; `PodSandboxStatusRequest` has the same two fields.
struct StatusRequest: EngineMessage {
  static let protoMessageName = "runtime.v1.ContainerStatusRequest"
  var unknownFields = UnknownStorage()
  var id = ""
  var verbose = false

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &id)
      case 2: try decoder.decodeSingularBoolField(value: &verbose)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !id.isEmpty { try visitor.visitSingularStringField(value: id, fieldNumber: 1) }
    if verbose { try visitor.visitSingularBoolField(value: verbose, fieldNumber: 2) }
  }
}

/// `ContainerFilter` as the only field, 1, of `ListContainersRequest`: id 1.
struct ListContainersRequest: EngineMessage {
  static let protoMessageName = "runtime.v1.ListContainersRequest"
  var unknownFields = UnknownStorage()
  /// A message with one string in field 1, as `ContainerFilter` is when it asks for an id.
  var filter: StatusRequest?

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularMessageField(value: &filter)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if let filter { try visitor.visitSingularMessageField(value: filter, fieldNumber: 1) }
  }
}

/// `PodSandboxMetadata`: name 1, uid 2, namespace 3; `ContainerMetadata` has its name in field 1 too.
struct CRIMetadata: EngineMessage {
  static let protoMessageName = "runtime.v1.PodSandboxMetadata"
  var unknownFields = UnknownStorage()
  var name = ""
  var uid = ""
  var namespace = ""

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &name)
      case 2: try decoder.decodeSingularStringField(value: &uid)
      case 3: try decoder.decodeSingularStringField(value: &namespace)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !name.isEmpty { try visitor.visitSingularStringField(value: name, fieldNumber: 1) }
    if !uid.isEmpty { try visitor.visitSingularStringField(value: uid, fieldNumber: 2) }
    if !namespace.isEmpty { try visitor.visitSingularStringField(value: namespace, fieldNumber: 3) }
  }
}

/// `ImageSpec`: image 1.
struct CRIImage: EngineMessage {
  static let protoMessageName = "runtime.v1.ImageSpec"
  var unknownFields = UnknownStorage()
  var image = ""

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &image)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !image.isEmpty { try visitor.visitSingularStringField(value: image, fieldNumber: 1) }
  }
}

/// `Container` of a list: id 1, pod_sandbox_id 2, metadata 3.
struct CRIContainer: EngineMessage {
  static let protoMessageName = "runtime.v1.Container"
  var unknownFields = UnknownStorage()
  var id = ""
  var sandbox = ""

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &id)
      case 2: try decoder.decodeSingularStringField(value: &sandbox)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !id.isEmpty { try visitor.visitSingularStringField(value: id, fieldNumber: 1) }
    if !sandbox.isEmpty { try visitor.visitSingularStringField(value: sandbox, fieldNumber: 2) }
  }
}

/// `ListContainersResponse`: containers 1.
struct ListContainersResponse: EngineMessage {
  static let protoMessageName = "runtime.v1.ListContainersResponse"
  var unknownFields = UnknownStorage()
  var containers: [CRIContainer] = []

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeRepeatedMessageField(value: &containers)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !containers.isEmpty { try visitor.visitRepeatedMessageField(value: containers, fieldNumber: 1) }
  }
}

/// `ContainerStatus`: id 1, metadata 2, image 8, labels 12.
struct CRIContainerStatus: EngineMessage {
  static let protoMessageName = "runtime.v1.ContainerStatus"
  var unknownFields = UnknownStorage()
  var id = ""
  var metadata: CRIMetadata?
  var image: CRIImage?
  var labels: [String: String] = [:]

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &id)
      case 2: try decoder.decodeSingularMessageField(value: &metadata)
      case 8: try decoder.decodeSingularMessageField(value: &image)
      case 12: try decoder.decodeMapField(fieldType: StringMap.self, value: &labels)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !id.isEmpty { try visitor.visitSingularStringField(value: id, fieldNumber: 1) }
    if let metadata { try visitor.visitSingularMessageField(value: metadata, fieldNumber: 2) }
    if let image { try visitor.visitSingularMessageField(value: image, fieldNumber: 8) }
    if !labels.isEmpty {
      try visitor.visitMapField(fieldType: StringMap.self, value: labels, fieldNumber: 12)
    }
  }
}

/// `ContainerStatusResponse`: status 1, info 2 (only if verbose; JSON texts for people, so only hints).
struct ContainerStatusResponse: EngineMessage {
  static let protoMessageName = "runtime.v1.ContainerStatusResponse"
  var unknownFields = UnknownStorage()
  var status: CRIContainerStatus?
  var info: [String: String] = [:]

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularMessageField(value: &status)
      case 2: try decoder.decodeMapField(fieldType: StringMap.self, value: &info)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if let status { try visitor.visitSingularMessageField(value: status, fieldNumber: 1) }
    if !info.isEmpty {
      try visitor.visitMapField(fieldType: StringMap.self, value: info, fieldNumber: 2)
    }
  }
}

/// `PodSandboxStatus`: id 1, metadata 2, labels 7.
struct CRISandboxStatus: EngineMessage {
  static let protoMessageName = "runtime.v1.PodSandboxStatus"
  var unknownFields = UnknownStorage()
  var id = ""
  var metadata: CRIMetadata?
  var labels: [String: String] = [:]

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &id)
      case 2: try decoder.decodeSingularMessageField(value: &metadata)
      case 7: try decoder.decodeMapField(fieldType: StringMap.self, value: &labels)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !id.isEmpty { try visitor.visitSingularStringField(value: id, fieldNumber: 1) }
    if let metadata { try visitor.visitSingularMessageField(value: metadata, fieldNumber: 2) }
    if !labels.isEmpty {
      try visitor.visitMapField(fieldType: StringMap.self, value: labels, fieldNumber: 7)
    }
  }
}

/// `PodSandboxStatusResponse`: status 1, info 2.
struct SandboxStatusResponse: EngineMessage {
  static let protoMessageName = "runtime.v1.PodSandboxStatusResponse"
  var unknownFields = UnknownStorage()
  var status: CRISandboxStatus?
  var info: [String: String] = [:]

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularMessageField(value: &status)
      case 2: try decoder.decodeMapField(fieldType: StringMap.self, value: &info)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if let status { try visitor.visitSingularMessageField(value: status, fieldNumber: 1) }
    if !info.isEmpty {
      try visitor.visitMapField(fieldType: StringMap.self, value: info, fieldNumber: 2)
    }
  }
}

/// containerd's own `Container`: id 1, labels 2, image 3.
struct NativeContainer: EngineMessage {
  static let protoMessageName = "containerd.services.containers.v1.Container"
  var unknownFields = UnknownStorage()
  var id = ""
  var labels: [String: String] = [:]
  var image = ""

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularStringField(value: &id)
      case 2: try decoder.decodeMapField(fieldType: StringMap.self, value: &labels)
      case 3: try decoder.decodeSingularStringField(value: &image)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !id.isEmpty { try visitor.visitSingularStringField(value: id, fieldNumber: 1) }
    if !labels.isEmpty {
      try visitor.visitMapField(fieldType: StringMap.self, value: labels, fieldNumber: 2)
    }
    if !image.isEmpty { try visitor.visitSingularStringField(value: image, fieldNumber: 3) }
  }
}

/// `GetContainerResponse`: container 1.
struct NativeContainerResponse: EngineMessage {
  static let protoMessageName = "containerd.services.containers.v1.GetContainerResponse"
  var unknownFields = UnknownStorage()
  var container: NativeContainer?

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() {
      switch field {
      case 1: try decoder.decodeSingularMessageField(value: &container)
      default: break
      }
    }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {
    if let container { try visitor.visitSingularMessageField(value: container, fieldNumber: 1) }
  }
}

extension StatusRequest {
  /// Asks for an id.
  init(id: String, verbose: Bool = false) {
    self.init()
    self.id = id
    self.verbose = verbose
  }
}

/// The bytes of a message.
func encode(_ message: some EngineMessage) throws(EngineFailure) -> [UInt8] {
  do { return try message.serializedBytes() } catch { throw .garbled("\(error)") }
}

/// The message in bytes.
func decode<Answer: EngineMessage>(_ bytes: [UInt8]) throws(EngineFailure) -> Answer {
  do { return try Answer(serializedBytes: bytes) } catch { throw .garbled("no protobuf message: \(error)") }
}
