/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Closed enumerations: Swift imports them as enums whose switches must name every case, so that a new case is a compile
 * error wherever it must be known. A value that is no case is undefined there. Bytes of a ring or a map may be anything:
 * sp_is_NAME() says of a byte whether it is a case, and does not compile either until it names a new one.
 */
#pragma once

#define SP_CLOSED __attribute__((enum_extensibility(closed)))
#pragma clang diagnostic error "-Wswitch"
