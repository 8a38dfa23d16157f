// The addresses of this network namespace's interfaces.
internal import Glibc

/// The IPv4 and IPv6 addresses of all interfaces as text, without zones; none if they cannot be read.
package func localAddresses() -> [String] {
  var list: UnsafeMutablePointer<ifaddrs>?
  guard unsafe getifaddrs(&list) == 0 else { return [] }
  defer { unsafe freeifaddrs(list) }
  var found: [String] = []
  var next = unsafe list
  while let entry = unsafe next {
    unsafe next = entry.pointee.ifa_next
    guard let address = unsafe entry.pointee.ifa_addr else { continue }
    let family = Int32(unsafe address.pointee.sa_family)
    let size: Int
    switch family {
    case AF_INET: size = MemoryLayout<sockaddr_in>.size
    case AF_INET6: size = MemoryLayout<sockaddr_in6>.size
    default: continue
    }
    var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let rc = unsafe getnameinfo(address, socklen_t(size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
    guard rc == 0 else { continue }
    let bytes = text.prefix { $0 != 0 && $0 != CChar(UInt8(ascii: "%")) }.map { UInt8(bitPattern: $0) }
    found.append(String(decoding: bytes, as: UTF8.self))
  }
  return found
}
