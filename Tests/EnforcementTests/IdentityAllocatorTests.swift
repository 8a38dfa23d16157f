// Is a number always one set of labels, and does it stay so for as long as somebody may name it?

import Policy
import Testing

@testable import Enforcement

@Suite struct IdentityAllocatorTests {
  private let first = IdentityNumber.firstAllotted.rawValue

  @Test("the same labels have the same number as long as anybody uses them")
  func counted() throws {
    var allocator = IdentityAllocator()
    let web = try LabelSet(parsing: "app=web")
    let number = try allocator.retain(web, generation: 1)
    #expect(try allocator.retain(web, generation: 2) == number)
    allocator.release(number, generation: 3)
    #expect(allocator.identities == [number: web])
    allocator.release(number, generation: 4)
    #expect(allocator.identities.isEmpty)
    #expect(allocator.named == [number: web])
    allocator.release(number, generation: 5)
    #expect(try allocator.retain(web, generation: 6) == number)
    #expect(allocator.identities == [number: web])
  }

  @Test("a number comes back only when all others were used and its quarantine is over, the oldest first")
  func quarantine() throws {
    var allocator = IdentityAllocator(quarantine: 10, end: IdentityNumber(rawValue: first + 3))
    let sets = try (0..<6).map { try LabelSet(parsing: "n=\($0)") }
    let numbers = try sets[0..<2].map { try allocator.retain($0, generation: 1) }
    allocator.release(numbers[1], generation: 2)
    allocator.release(numbers[0], generation: 3)
    #expect(try allocator.retain(sets[2], generation: 4).rawValue == first + 2)
    let error = #expect(throws: IdentityError.self) { try allocator.retain(sets[3], generation: 11) }
    #expect(error?.problem.contains("at rest") == true)
    #expect(try allocator.retain(sets[3], generation: 12) == numbers[1])
    #expect(throws: IdentityError.self) { try allocator.retain(sets[4], generation: 12) }
    #expect(try allocator.retain(sets[4], generation: 13) == numbers[0])
    #expect(allocator.identities.count == 3)
  }

  @Test("a number that was used again meanwhile rests anew, however often that happens")
  func restsAgain() throws {
    var allocator = IdentityAllocator(quarantine: 10, end: IdentityNumber(rawValue: first + 2))
    let sets = try (0..<4).map { try LabelSet(parsing: "n=\($0)") }
    let numbers = try sets[0..<2].map { try allocator.retain($0, generation: 1) }
    for number in numbers { allocator.release(number, generation: 2) }
    // Never in force, such as a change that fails each time: the generation stays.
    for _ in 0..<1000 {
      #expect(try allocator.retain(sets[0], generation: 3) == numbers[0])
      allocator.release(numbers[0], generation: 3)
    }
    #expect(try allocator.retain(sets[2], generation: 12) == numbers[1])
    #expect(throws: IdentityError.self) { try allocator.retain(sets[3], generation: 12) }
    #expect(try allocator.retain(sets[3], generation: 13) == numbers[0])
  }

  @Test("two sets of labels with one hash are refused, naming both")
  func clash() throws {
    var allocator = IdentityAllocator(hash: { _ in Identity(rawValue: 7) })
    _ = try allocator.retain(LabelSet(parsing: "app=a"), generation: 1)
    let error = #expect(throws: IdentityError.self) { try allocator.retain(LabelSet(parsing: "app=b"), generation: 1) }
    #expect(error?.description.contains("app=a") == true)
    #expect(error?.description.contains("app=b") == true)
  }

  @Test("reserved labels get no number of their own")
  func reserved() throws {
    var allocator = IdentityAllocator()
    #expect(throws: IdentityError.self) { try allocator.retain(.host, generation: 1) }
  }

  @Test("numbers from before a restart stay with their labels, and those without labels stay unused")
  func adopted() throws {
    var allocator = IdentityAllocator()
    let web = try LabelSet(parsing: "app=web")
    allocator.adopt(IdentityNumber(rawValue: 40), web, generation: 9)
    allocator.reserve(IdentityNumber(rawValue: 50))
    #expect(try allocator.retain(LabelSet(parsing: "app=new"), generation: 9).rawValue == 51)
    #expect(try allocator.retain(web, generation: 9).rawValue == 40)
  }
}
