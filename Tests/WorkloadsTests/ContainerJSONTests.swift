// Are the answers of engines read right, and anything else refused without harm?
import Testing

@testable import Workloads

@Suite struct ContainerJSONTests {
  @Test("An answer of the Docker API is read, also with members missing, null or of another kind")
  func container() throws {
    let answer = #"""
      {"Id":"abc","Name":"/web","State":{"Running":true,"Pid":42},"Config":{"Image":"nginx","Labels":{"a":"b","c":null}}}
      """#
    let (facts, id) = try DockerAPI.container(Array(answer.utf8), runtime: .docker)
    #expect(id == "abc")
    #expect(facts == ContainerFacts(runtime: "docker", name: "web", image: "nginx", labels: ["a": "b"], process: 42))
    let odd = #"{"Id":7,"Name":null,"State":[],"Config":{"Image":{},"Labels":null},"Running":true}"#
    let (other, none) = try DockerAPI.container(Array(odd.utf8), runtime: .docker)
    #expect(none == nil)
    #expect(other == ContainerFacts(runtime: "docker"))
  }

  @Test("Only an event that can change labels names its container")
  func events() {
    func changed(_ text: String) -> String? { DockerAPI.changed(Array(text.utf8)) }
    #expect(changed(#"{"Type":"container","Action":"start","Actor":{"ID":"abc"}}"#) == "abc")
    #expect(changed(#"{"Type":"container","Action":"exec_create: sh","Actor":{"ID":"abc"}}"#) == nil)
    #expect(changed(#"{"Type":"container","Action":"start"}"#) == nil)
    #expect(changed("garbage") == nil)
  }
}
