// Is every key of the configuration read from the file, from the command line, and in docs/CONFIGURATION.md?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(.requires(.product))
struct ConfigurationTests {
  /// A key as the page has it.
  private struct Key {
    var name: String
    /// A line of a file.
    var line: String
    var option: String
    var value: String { String(line.dropFirst(name.count + 2)) }
    /// The words of a command line that say the same as the line.
    var words: [String] {
      if option.hasPrefix("--place ") { return ["--place", "\(name)=\(value)"] }
      return value == "true" || value == "false" ? [option] : [option, value]
    }
  }

  private static let path: FilePath = {
    var root = FilePath(#filePath)
    for _ in 0..<3 { root.removeLastComponent() }
    return root.appending("docs/CONFIGURATION.md")
  }()

  /// What the program prints, in a directory of its own.
  private func print(_ words: [String], file: String = "") throws -> (status: Int32, output: String, errors: String) {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let path = directory.path
    try replaceFile(FilePath("\(path)/c.yaml"), with: Array(file.utf8))
    let child = try ChildProcess.start(
      "/bin/sh", ["-c", "cd \"$0\" && exec \"$@\" > out 2> errors", path, Product.sallyport] + words)
    let status = try child.wait()
    return (status, try readKernelFile(FilePath("\(path)/out")), try readKernelFile(FilePath("\(path)/errors")))
  }

  private func keys() throws -> [Key] {
    let page = try print(["configuration-page"]).output
    let parts = page.split(separator: "\n## ").map(String.init)
    let lines = parts[1].split(separator: "\n").filter { $0.contains(": ") }.map(String.init)
    return zip(lines, parts.dropFirst(2)).map { line, part in
      let name = String(part.dropFirst().prefix { $0 != "`" })
      let option = part.split(separator: "\n").last?.dropFirst("- option: `".count).dropLast() ?? ""
      return Key(name: name, line: line, option: String(option))
    }
  }

  @Test("docs/CONFIGURATION.md is what the program prints, and has every key of its help")
  func page() throws {
    let printed = try print(["configuration-page"]).output
    if unsafe getenv("SALLYPORT_WRITE_PAGES") != nil { try replaceFile(Self.path, with: Array(printed.utf8)) }
    #expect(try readKernelFile(Self.path) == printed, "run with SALLYPORT_WRITE_PAGES=1 to write it again")
    let keys = try keys()
    #expect(keys.count > 20)
    let help = try print(["run", "--help"]).output
    for key in keys {
      #expect(key.line.hasPrefix("\(key.name): "))
      #expect(help.contains(key.option.hasPrefix("--place ") ? key.name : "\(key.option) "), "\(key.name)")
    }
  }

  @Test("Every key comes back as it stood in the file, and as the option said")
  func roundTrip() throws {
    let standard = try print(["run", "--print-config"])
    #expect(standard.status == 0, "\(standard.errors)")
    for key in try keys() {
      let file = try print(["run", "--config", "c.yaml", "--print-config"], file: "\(key.line)\n")
      let lines = Set(file.output.split(separator: "\n").map(String.init))
      #expect(lines.contains(key.line), "\(key.name): \(file)")
      #expect(file.output != standard.output, "\(key.name)")
      let option = try print(["run"] + key.words + ["--print-config"])
      #expect(option.output == file.output, "\(key.words): \(option)")
      let again = try print(["run", "--config", "c.yaml", "--print-config"], file: file.output)
      #expect(again.output == file.output, "\(again)")
    }
  }

  @Test("The command line has the last word, and a wrong value is refused with its place")
  func mistakes() throws {
    let merged = try print(
      ["run", "--config", "c.yaml", "--state", "/b", "--print-config"], file: "state: /a\nflows: /f\n")
    #expect(merged.output.contains("state: /b\n") && merged.output.contains("flows: /f\n"), "\(merged)")
    let file = try print(["run", "--config", "c.yaml"], file: "\nflows-size: 1\n")
    #expect(file.errors == "sallyport: c.yaml:2: flows-size: not a number in range; write 65536 to 1099511627776\n")
    #expect(file.status == 1)
    let option = try print(["run", "--flows-size", "1"])
    #expect(option.errors == "sallyport: --flows-size 1: not a number in range; write 65536 to 1099511627776\n")
    #expect(option.status == 2)
    let flag = try print(["run", "--config", "c.yaml"], file: "inotify: maybe\n")
    #expect(flag.errors == "sallyport: c.yaml:1: inotify: not a truth value; write true or false\n")
  }
}
