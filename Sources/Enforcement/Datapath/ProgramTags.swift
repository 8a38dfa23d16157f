// Which programs are in the kernel: their tags, by which one build is told from another.

internal import BPF

extension KernelDatapath {
  /// The tag of every pinned program, by name: a hash of its instructions.
  package func programTags() throws(DatapathError) -> [String: String] {
    var tags: [String: String] = [:]
    do throws(BPFError) {
      for name in kernel.pinned.object.programs { tags[name] = try BPFProgram.pinned(kernel.pinned.program(name)).tag }
    } catch {
      throw kernel.failure("read program tags", error)
    }
    return tags
  }
}
