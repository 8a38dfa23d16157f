/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a verdict is and what decided it. */
#pragma once
#include <linux/types.h>
#include "closed.h"

enum SP_CLOSED sp_direction : __u8 { SP_OUTGOING = 0, SP_INCOMING = 1 };

static inline _Bool sp_is_direction(__u8 value)
{
	switch ((enum sp_direction)value) {
	case SP_OUTGOING:
	case SP_INCOMING:
		return 1;
	}
	return 0;
}

enum SP_CLOSED sp_action : __u8 { SP_NONE = 0, SP_ALLOW = 1, SP_REJECT = 2 };

static inline _Bool sp_is_action(__u8 value)
{
	switch ((enum sp_action)value) {
	case SP_NONE:
	case SP_ALLOW:
	case SP_REJECT:
		return 1;
	}
	return 0;
}

/* What decided a verdict. */
enum SP_CLOSED sp_decided_by : __u8 {
	SP_BY_NOTHING = 0,
	SP_BY_RULE = 1,
	SP_BY_DEFAULT = 2, /* no rule matched */
	SP_BY_LOCAL = 3,   /* both ends are the same workload */
	/* Counted, not recorded: what the kernel's own sockets send; and at raw sockets, errors that quote a live flow of the
	 * receiver and discovery from the link.
	 */
	SP_BY_EXCLUDED = 4,
	SP_BY_INVALID = 5, /* the packet's headers cannot be read, or it is a fragment without its transport header */
	SP_BY_ERROR = 6,   /* a table that must be there is not: refused */
	/* The subject is a cgroup without labels below a workload with SP_WORKLOAD_REJECT_CHILDREN: refused whatever policy
	 * says. The record's workload is the one above it.
	 */
	SP_BY_UNLABELLED = 7,
	/* Outgoing: packets of another workload with the same addresses and ports are on the way, or their source address
	 * is that workload's. The receiver could not tell the two apart.
	 */
	SP_BY_SENDER = 8,
	/* Incoming: who receives cannot be told. Sockets of several workloads may, or too many had to be looked at. */
	SP_BY_AMBIGUOUS = 9,
};

static inline _Bool sp_is_decided_by(__u8 value)
{
	switch ((enum sp_decided_by)value) {
	case SP_BY_NOTHING:
	case SP_BY_RULE:
	case SP_BY_DEFAULT:
	case SP_BY_LOCAL:
	case SP_BY_EXCLUDED:
	case SP_BY_INVALID:
	case SP_BY_ERROR:
	case SP_BY_UNLABELLED:
	case SP_BY_SENDER:
	case SP_BY_AMBIGUOUS:
		return 1;
	}
	return 0;
}

/* How the other end's identity is known. */
enum SP_CLOSED sp_assurance : __u8 {
	SP_ASSURED_NOT = 0,	/* unknown */
	SP_ASSURED_ADDRESS = 1, /* from its address alone */
	SP_ASSURED_SOCKET = 2,	/* its socket was found in this network namespace */
	SP_ASSURED_HANDOFF = 3, /* its own egress hook on this host told us, for this very packet or conversation */
};

static inline _Bool sp_is_assurance(__u8 value)
{
	switch ((enum sp_assurance)value) {
	case SP_ASSURED_NOT:
	case SP_ASSURED_ADDRESS:
	case SP_ASSURED_SOCKET:
	case SP_ASSURED_HANDOFF:
		return 1;
	}
	return 0;
}
