/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Numbers that both sides agree on: the version, identities, port indices, levels. */
#pragma once

#define SP_ABI_VERSION 4u

/* Dense identity numbers. */
#define SP_IDENTITY_UNKNOWN 0u
#define SP_IDENTITY_HOST 1u
#define SP_IDENTITY_WORLD 2u
#define SP_IDENTITY_FIRST_ALLOTTED 16u	   /* label sets */
#define SP_IDENTITY_FIRST_EXTERNAL 131072u /* sets of external networks */
#define SP_IDENTITY_CAPACITY 147456u

/* Port classes of one slot, as a flat array of __u16: where each protocol's part begins. */
#define SP_PORT_TCP 0u
#define SP_PORT_UDP 65536u
#define SP_PORT_SCTP 131072u
#define SP_PORT_ICMP 196608u  /* + type */
#define SP_PORT_ICMP6 196864u /* + type */
#define SP_PORT_OTHER 197120u /* + protocol number */
#define SP_PORT_COUNT 197376u
#define SP_PORTS_PER_ROW 64u
#define SP_PORT_ROWS 3084u /* SP_PORT_COUNT / SP_PORTS_PER_ROW */

/* cgroups are looked at from level 1 (child of the hierarchy's root) to this level; deeper ones inherit. */
#define SP_MAX_LEVEL 16u
