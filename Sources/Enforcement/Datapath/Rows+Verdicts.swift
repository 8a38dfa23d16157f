// The closed enums of the ABI header as this module's types, and back. Every switch names every case, so a new case of the
// header does not compile until it is named here. Bytes of a ring or a map may be no case at all: sp_is_… is asked first.

internal import CDatapath
internal import Policy

extension Rows {
  static func direction(_ direction: Direction) -> sp_direction {
    switch direction {
    case .outgoing: .SP_OUTGOING
    case .incoming: .SP_INCOMING
    }
  }

  static func direction(_ byte: sp_direction) -> Direction? {
    guard sp_is_direction(byte.rawValue) else { return nil }
    switch byte {
    case .SP_OUTGOING: return .outgoing
    case .SP_INCOMING: return .incoming
    }
  }

  static func action(_ action: Action?) -> sp_action {
    switch action {
    case nil: .SP_NONE
    case .allow: .SP_ALLOW
    case .reject: .SP_REJECT
    }
  }

  static func action(_ byte: sp_action) -> Action? {
    guard sp_is_action(byte.rawValue) else { return nil }
    switch byte {
    case .SP_NONE: return nil
    case .SP_ALLOW: return .allow
    case .SP_REJECT: return .reject
    }
  }

  static func decidedBy(_ reason: FlowEvent.DecidedBy) -> sp_decided_by {
    switch reason {
    case .nothing: .SP_BY_NOTHING
    case .rule: .SP_BY_RULE
    case .default: .SP_BY_DEFAULT
    case .local: .SP_BY_LOCAL
    case .excluded: .SP_BY_EXCLUDED
    case .invalid: .SP_BY_INVALID
    case .error: .SP_BY_ERROR
    case .unlabelled: .SP_BY_UNLABELLED
    case .sender: .SP_BY_SENDER
    case .ambiguous: .SP_BY_AMBIGUOUS
    }
  }

  static func decidedBy(_ byte: sp_decided_by) -> FlowEvent.DecidedBy? {
    guard sp_is_decided_by(byte.rawValue) else { return nil }
    switch byte {
    case .SP_BY_NOTHING: return .nothing
    case .SP_BY_RULE: return .rule
    case .SP_BY_DEFAULT: return .default
    case .SP_BY_LOCAL: return .local
    case .SP_BY_EXCLUDED: return .excluded
    case .SP_BY_INVALID: return .invalid
    case .SP_BY_ERROR: return .error
    case .SP_BY_UNLABELLED: return .unlabelled
    case .SP_BY_SENDER: return .sender
    case .SP_BY_AMBIGUOUS: return .ambiguous
    }
  }

  static func assurance(_ byte: sp_assurance) -> FlowEvent.Assurance? {
    guard sp_is_assurance(byte.rawValue) else { return nil }
    switch byte {
    case .SP_ASSURED_NOT: return .unknown
    case .SP_ASSURED_ADDRESS: return .address
    case .SP_ASSURED_SOCKET: return .socket
    case .SP_ASSURED_HANDOFF: return .handoff
    }
  }

  static func kind(_ byte: sp_record_kind) -> FlowEvent.Kind? {
    guard sp_is_record_kind(byte.rawValue) else { return nil }
    switch byte {
    case .SP_RECORD_ATTEMPT: return .attempt
    case .SP_RECORD_REFUSED: return .refused
    case .SP_RECORD_OPEN: return .open
    case .SP_RECORD_CLOSE: return .close
    case .SP_RECORD_BIND: return .bind
    }
  }
}
