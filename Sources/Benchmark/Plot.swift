// Lines with error bars as SVG: what a document can show without any other program.

internal import Glibc

/// One line of a plot.
package struct PlotLine: Sendable, Equatable {
  /// What it is, in the legend.
  package let name: String
  /// Its points, from left to right; `spread` is the error bar.
  package let points: [Point]

  /// One point.
  package struct Point: Sendable, Equatable {
    /// Where on the horizontal axis.
    package let x: Double
    /// Where on the vertical axis.
    package let y: Double
    /// How far that may be off.
    package let spread: Interval

    package init(x: Double, y: Double, spread: Interval) {
      self.x = x
      self.y = y
      self.spread = spread
    }
  }

  package init(_ name: String, _ points: [Point]) {
    self.name = name
    self.points = points.sorted { $0.x < $1.x }
  }
}

/// A plot of lines, both axes logarithmic.
package struct Plot: Sendable, Equatable {
  /// What it shows.
  package let title: String
  /// The horizontal axis, with its unit.
  package let horizontal: String
  /// The vertical axis, with its unit.
  package let vertical: String
  /// The lines; only what is above zero can be shown.
  package let lines: [PlotLine]

  package init(_ title: String, horizontal: String, vertical: String, lines: [PlotLine]) {
    self.title = title
    self.horizontal = horizontal
    self.vertical = vertical
    self.lines = lines.filter { !$0.points.isEmpty }
  }

  private static let width = 860.0
  private static let height = 420.0
  // Room for the axes, and for the legend at the right.
  private static let (left, right, top, bottom) = (70.0, 300.0, 40.0, 50.0)
  /// Told apart also by people who do not see red and green (Okabe and Ito); dashes repeat them.
  private static let colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]

  /// An axis that holds all of these values, which are above zero, and its marks.
  struct Axis: Equatable {
    let low: Double
    let high: Double
    let marks: [Double]

    init(_ values: [Double]) {
      let positive = values.filter { $0 > 0 && $0.isFinite }
      let (least, most) = (positive.min() ?? 1, positive.max() ?? 1)
      // Less than a decade is divided more finely, else all lines would lie on each other.
      let steps: [Double] = most / least > 30 ? [1] : (most / least > 3 ? [1, 2, 5] : Self.fine)
      let lowest = Int(floor(log10(least))) - 1
      let all = (lowest...Int(ceil(log10(most))) + 1).flatMap { power in steps.map { $0 * pow(10, Double(power)) } }
      // Tolerant, so that 0.1 × 10 counts as 1.
      low = all.last { $0 <= least * (1 + 1e-9) } ?? least
      high = all.first { $0 >= most * (1 - 1e-9) && $0 > (all.last { $0 <= least * (1 + 1e-9) } ?? least) } ?? most
      let (low, high) = (low, high)
      marks = all.filter { $0 >= low * (1 - 1e-9) && $0 <= high * (1 + 1e-9) }
    }

    private static let fine = stride(from: 1.0, to: 10, by: 0.25).map { $0 }

    /// 0…1 from its beginning to its end.
    func position(_ value: Double) -> Double {
      guard high > low, value > 0 else { return 0 }
      return min(max(log(value / low) / log(high / low), 0), 1)
    }
  }

  /// The picture.
  package var svg: String {
    let points = lines.flatMap(\.points)
    let across = Axis(points.map(\.x))
    let up = Axis(points.flatMap { [$0.y, $0.spread.low, $0.spread.high] })
    let (plotWidth, plotHeight) = (Self.width - Self.left - Self.right, Self.height - Self.top - Self.bottom)
    func x(_ value: Double) -> String { (Self.left + across.position(value) * plotWidth).fixed(1) }
    func y(_ value: Double) -> String { (Self.height - Self.bottom - up.position(value) * plotHeight).fixed(1) }
    func text(_ x: String, _ y: String, _ text: String, _ more: String = "") -> String {
      "<text x=\"\(x)\" y=\"\(y)\" \(more)>\(text.xmlEscaped)</text>\n"
    }
    var out = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width.fixed(0)) \(Self.height.fixed(0))" \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#fff"/>

      """
    out += text(Self.left.fixed(0), "24", title, "font-size=\"15\" font-weight=\"bold\"")
    let (bottom, end) = (Self.height - Self.bottom, Self.width - Self.right)
    for mark in across.marks {
      out += "<line x1=\"\(x(mark))\" x2=\"\(x(mark))\" y1=\"\(Self.top)\" y2=\"\(bottom)\" stroke=\"#ddd\"/>\n"
      out += text(x(mark), (bottom + 18).fixed(0), mark.short, "text-anchor=\"middle\"")
    }
    for mark in up.marks {
      out += "<line x1=\"\(Self.left)\" x2=\"\(end)\" y1=\"\(y(mark))\" y2=\"\(y(mark))\" stroke=\"#ddd\"/>\n"
      out += text((Self.left - 6).fixed(0), y(mark), mark.short, "text-anchor=\"end\" dy=\"4\"")
    }
    out += text(((Self.left + end) / 2).fixed(0), (Self.height - 12).fixed(0), horizontal, "text-anchor=\"middle\"")
    let middle = ((Self.top + bottom) / 2).fixed(0)
    out += text("16", middle, vertical, "text-anchor=\"middle\" transform=\"rotate(-90 16 \(middle))\"")
    for (index, line) in lines.enumerated() {
      let colour = Self.colours[index % Self.colours.count]
      let dash = index >= Self.colours.count ? " stroke-dasharray=\"5 3\"" : ""
      let path = line.points.map { "\(x($0.x)),\(y($0.y))" }.joined(separator: " ")
      out += "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"\(dash)/>\n"
      for point in line.points {
        out += "<circle cx=\"\(x(point.x))\" cy=\"\(y(point.y))\" r=\"3\" fill=\"\(colour)\"/>"
        out += "<line x1=\"\(x(point.x))\" x2=\"\(x(point.x))\" y1=\"\(y(point.spread.low))\""
        out += " y2=\"\(y(point.spread.high))\" stroke=\"\(colour)\"/>\n"
      }
      let legend = (Self.top + 14 + Double(index) * 18).fixed(0)
      let begin = (end + 14).fixed(0)
      out += "<line x1=\"\(begin)\" x2=\"\((end + 38).fixed(0))\" y1=\"\(legend)\" y2=\"\(legend)\""
      out += " stroke=\"\(colour)\" stroke-width=\"2\"\(dash)/>\n"
      out += text((end + 44).fixed(0), legend, line.name, "dy=\"4\"")
    }
    return out + "</svg>\n"
  }
}

extension String {
  /// As XML writes it.
  var xmlEscaped: String {
    replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}

extension Double {
  /// `1.5`, `200`, `3k`, `1M`.
  var short: String {
    for (size, letter) in [(1e6, "M"), (1e3, "k")] where magnitude >= size * (1 - 1e-9) {
      return (self / size).shortest + letter
    }
    return shortest
  }

  private var shortest: String {
    let texts = (0...4).map { fixed($0) }
    return texts.first { (Double($0) ?? 0) >= self * (1 - 1e-6) && (Double($0) ?? 0) <= self * (1 + 1e-6) } ?? fixed(4)
  }
}
