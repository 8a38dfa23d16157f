// Are addresses, prefixes and ports read, printed and compared right?

import Policy
import Testing

@Suite struct NetworkTests {
  @Test(
    "addresses are printed as RFC 5952 says",
    arguments: [
      ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("::FFFF:a00:1", "10.0.0.1"), ("::", "::"),
      ("::1", "::1"), ("2001:DB8::1", "2001:db8::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
      ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
      ("fe80::", "fe80::"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
    ])
  func addresses(_ text: String, _ printed: String) throws {
    let address = try IPAddress(parsing: text)
    #expect(address.description == printed)
    #expect(IPAddress(bytes: address.bytes) == address)
  }

  @Test(
    "what is no address is refused",
    arguments: [
      "", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.04", " 1.2.3.4", "1.2.3.4 ", "1..2.3", "+1.2.3.4",
      ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::",
      "fe80::1%eth0",
      "::1.2.3", "1.2.3.4::", "::1.2.3.4:5", "1:", ":1",
    ])
  func badAddresses(_ text: String) { #expect(throws: AddressError.self) { try IPAddress(parsing: text) } }

  @Test("prefixes know their lengths in the common space")
  func prefixes() throws {
    let ten = try IPPrefix(parsing: "10.0.0.0/8")
    #expect(ten.length == 104)
    #expect(ten.description == "10.0.0.0/8")
    #expect(try IPPrefix(parsing: "0.0.0.0/0") == .allIPv4)
    #expect(try IPPrefix(parsing: "::ffff:0:0/96") == .allIPv4)
    #expect(try IPPrefix(parsing: "::/0") == .allIPv6)
    #expect(try IPPrefix(parsing: "2001:db8::/32").description == "2001:db8::/32")
  }

  @Test("a prefix contains exactly its addresses")
  func contains() throws {
    let block = try IPPrefix(parsing: "10.128.0.0/9")
    for (text, expected) in [("10.128.0.0", true), ("10.255.255.255", true), ("10.127.255.255", false), ("::", false)] {
      #expect(block.contains(try IPAddress(parsing: text)) == expected)
    }
    #expect(try IPPrefix(parsing: "2001:db8::/33").contains(IPAddress(parsing: "2001:db8:7fff::")))
    #expect(try !IPPrefix(parsing: "2001:db8::/33").contains(IPAddress(parsing: "2001:db8:8000::")))
    #expect(try IPPrefix(parsing: "10.0.0.0/8").contains(IPPrefix(parsing: "10.0.0.0/8")))
    #expect(try !IPPrefix(parsing: "10.0.0.0/8").contains(IPPrefix(parsing: "0.0.0.0/0")))
  }

  @Test("all of IPv6 does not contain IPv4")
  func families() throws {
    #expect(try !IPPrefix.allIPv6.contains(IPAddress(parsing: "10.0.0.1")))
    #expect(!IPPrefix.allIPv6.contains(.allIPv4))
    #expect(try IPPrefix.allIPv6.contains(IPAddress(parsing: "::1")))
    #expect(try !IPPrefix.allIPv4.contains(IPAddress(parsing: "::1")))
  }

  @Test(
    "prefixes that are none are refused with the remedy",
    arguments: [
      ("10.0.0.1/8", "write 10.0.0.0/8"), ("2001:db8::1/32", "write 2001:db8::/32"),
      ("10.0.0.0", "write 10.0.0.0/32 for one address"),
      ("::1", "write ::1/128 for one address"), ("10.0.0.0/33", "write it like 10.0.0.0/8 or 2001:db8::/32"),
      ("10.0.0.0/08", "write it like 10.0.0.0/8 or 2001:db8::/32"),
      ("::/129", "write it like 10.0.0.0/8 or 2001:db8::/32"),
      ("10.0.0.0/8/8", "write it like 10.0.0.0/8 or 2001:db8::/32"),
      ("10.0.0.0/-1", "write it like 10.0.0.0/8 or 2001:db8::/32"),
      ("::ffff:0:0/90", "write ::ffc0:0:0/90"),
    ])
  func badPrefixes(_ text: String, _ remedy: String) {
    #expect(#expect(throws: AddressError.self) { try IPPrefix(parsing: text) }?.remedy == remedy)
  }

  @Test(
    "port specifications are read and printed",
    arguments: [
      ("any", "any"), ("tcp", "tcp"), ("tcp/0-65535", "tcp"), ("tcp/80", "tcp/80"), ("udp/1-2", "udp/1-2"),
      ("tcp/80-80", "tcp/80"), ("sctp/65535", "sctp/65535"), ("icmp", "icmp"), ("icmp/8", "icmp/8"),
      ("icmp6/128", "icmp6/128"),
      ("icmp/0-255", "icmp"), ("ip/47", "gre"), ("ip/6", "tcp"), ("gre", "gre"), ("ip/253", "ip/253"), ("esp", "esp"),
    ])
  func ports(_ text: String, _ printed: String) throws {
    let spec = try PortSpec(parsing: text)
    #expect(spec.description == printed)
    #expect(try PortSpec(parsing: printed) == spec)
  }

  @Test(
    "port specifications that are none are refused",
    arguments: [
      "", "80", "TCP/80", "tcp/", "tcp/65536", "tcp/-1", "tcp/1-", "tcp/1-2-3", "tcp/2-1", "tcp/ 80", "tcp/080",
      "icmp/256",
      "gre/1", "ip", "ip/256", "ip/x", "any/1", "tcp/80/1", "tcp/http", "tcp/99999999999999999999",
    ])
  func badPorts(_ text: String) { #expect(throws: PortError.self) { try PortSpec(parsing: text) } }

  @Test("every port has an index of its own")
  func portIndices() {
    #expect(Tables.portIndex(.tcp, 65535) == 65535)
    #expect(Tables.portIndex(.udp, 0) == 65536)
    #expect(Tables.portIndex(.sctp, 1) == 131_073)
    #expect(Tables.portIndex(.icmp, 8) == 196_616)
    #expect(Tables.portIndex(.icmp6, 255) == 197_119)
    #expect(Tables.portIndex(IPProtocol(rawValue: 0), 9) == 197_120)
    #expect(Tables.portIndex(IPProtocol(rawValue: 255), 0) == Tables.portClassCount - 1)
  }

  @Test(
    "globs stop at slashes unless doubled",
    arguments: [
      ("/a/*.service", "/a/x.service", true), ("/a/*.service", "/a/b/x.service", false), ("/a/**", "/a/b/c", true),
      ("/a/**", "/ab", false), ("/a/?", "/a/b", true), ("/a/?", "/a//", false), ("*", "", true), ("**", "/x/y", true),
      ("a**b", "a/x/b", true), ("/a*", "/a/b", false), ("/a", "/a", true), ("/a", "/A", false), ("", "", true),
    ])
  func globs(_ pattern: String, _ text: String, _ expected: Bool) {
    #expect(Glob(pattern).matches(text) == expected)
  }
}
