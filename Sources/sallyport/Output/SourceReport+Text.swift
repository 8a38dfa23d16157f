// How a source of labels is, in one line.

extension SourceReport {
  /// `NAME: what is wrong`, or how many questions it answered; a source that is not there answered none.
  var text: String {
    let counts = "\(answered) answers, \(failed) failures"
    guard let fault else { return counts }
    return isMissing == true ? fault : "\(fault) (\(counts))"
  }
}
