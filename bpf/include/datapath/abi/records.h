/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the programs tell: flow records and counters. */
#pragma once
#include <linux/types.h>
#include "closed.h"
#include "verdicts.h"

/* ---- sp_records: ring buffer ------------------------------------------------------------------------------------------ */

enum SP_CLOSED sp_record_kind : __u8 {
	SP_RECORD_ATTEMPT =
		1, /* connect() passed; the process is known. UDP: not judged yet, decided_by is SP_BY_NOTHING */
	SP_RECORD_REFUSED = 2,
	SP_RECORD_OPEN = 3,  /* a TCP connection is established, or the first packet of a conversation passed */
	SP_RECORD_CLOSE = 4, /* a TCP connection ended, with its counts */
	SP_RECORD_BIND = 5,  /* a process bound a socket to a port */
};

static inline _Bool sp_is_record_kind(__u8 value)
{
	switch ((enum sp_record_kind)value) {
	case SP_RECORD_ATTEMPT:
	case SP_RECORD_REFUSED:
	case SP_RECORD_OPEN:
	case SP_RECORD_CLOSE:
	case SP_RECORD_BIND:
		return 1;
	}
	return 0;
}

/* Flags of struct sp_record. */
#define SP_RECORD_LOG 1u       /* the rule asks for it */
#define SP_RECORD_REVOKED 2u   /* it had been allowed before */
#define SP_RECORD_PEER_SIDE 4u /* refused at connect() for the incoming side of the other workload */
#define SP_RECORD_FAILED 8u    /* close of a connection that never was established */

struct sp_record {
	__u64 time;	     /* ns, CLOCK_MONOTONIC */
	__u64 socket;	     /* cookie of the socket the record is about */
	__u64 listener;	     /* OPEN of an accepted connection: cookie of the listening socket */
	__u64 workload;	     /* subject: cgroup id of its labelled ancestor, 0 = host */
	__u64 peer_workload; /* when known, else 0 */
	__u64 cgroup;	     /* ATTEMPT, BIND: cgroup id of the task */
	__u64 bytes_sent;    /* CLOSE: acknowledged payload bytes */
	__u64 bytes_received;
	__u32 packets_sent; /* CLOSE: segments */
	__u32 packets_received;
	__u32 rtt;     /* OPEN, CLOSE: smoothed round-trip time in µs */
	__u32 subject; /* identity numbers */
	__u32 peer;
	__u32 rule;
	__u32 observed_rule;
	__u32 generation;
	__u32 pid; /* thread group; 0 = not known here */
	__u32 uid;
	__u32 tid;
	__u16 local_port;  /* host order; ICMP: identifier or type */
	__u16 remote_port; /* host order; ICMP: type */
	__u8 local[16];
	__u8 remote[16];
	enum sp_record_kind kind;
	enum sp_direction direction;
	__u8 protocol;
	enum sp_action action; /* what was done */
	enum sp_action observed_action;
	enum sp_decided_by decided_by;
	enum sp_assurance assurance;
	__u8 flags; /* SP_RECORD_… */
	char comm[16];
};
_Static_assert(sizeof(struct sp_record) == 168, "sp_record");

/* ---- sp_counts: per-CPU hash, cgroup id of a workload (0 = host) → counters ----------------------------------------- */

/* Per-workload counters: n[direction][decided_by << 1 | refused], and these. */
#define SP_COUNT_EVICTED 28u	  /* conversations that ended early: the workload's share was used up */
#define SP_COUNT_RECORDS_LOST 29u /* records that did not fit the ring or its share of it; under SP_OUTGOING */
#define SP_COUNT_OBSERVED 30u	  /* an observed rule or workload would have changed the outcome */
#define SP_COUNT_REVOKED 31u	  /* conversations ended because policy no longer allows them */
#define SP_COUNTS 32u

struct sp_counts {
	__u64 n[2][SP_COUNTS];
};
_Static_assert(sizeof(struct sp_counts) == 512, "sp_counts");

/* ---- sp_stats: per-CPU array of one --------------------------------------------------------------------------------- */

/* Counters of the datapath itself (struct sp_stats). */
enum SP_CLOSED sp_stat : __u32 {
	SP_STAT_RECORDS = 0,		/* records written */
	SP_STAT_RECORDS_LOST = 1,	/* the ring was full */
	SP_STAT_RECORDS_SUPPRESSED = 2, /* same refusal again within a second */
	SP_STAT_CONVERSATIONS_FULL = 3, /* judged as new because no state could be kept */
	SP_STAT_SENDERS_FAILED = 4,	/* the sender could not be told to the receiver */
	SP_STAT_SENDERS_AMBIGUOUS = 5,	/* refused on the way out: the tuple is another sender's (SP_BY_SENDER) */
	SP_STAT_TABLE_MISSING = 6,
	SP_STAT_EVICTED = 7, /* conversations that ended early, so that others find room */
};

static inline _Bool sp_is_stat(__u32 value)
{
	switch ((enum sp_stat)value) {
	case SP_STAT_RECORDS:
	case SP_STAT_RECORDS_LOST:
	case SP_STAT_RECORDS_SUPPRESSED:
	case SP_STAT_CONVERSATIONS_FULL:
	case SP_STAT_SENDERS_FAILED:
	case SP_STAT_SENDERS_AMBIGUOUS:
	case SP_STAT_TABLE_MISSING:
	case SP_STAT_EVICTED:
		return 1;
	}
	return 0;
}

#define SP_STAT_COUNT 16u /* room for those to come */

struct sp_stats {
	__u64 n[SP_STAT_COUNT];
};
_Static_assert(sizeof(struct sp_stats) == 128, "sp_stats");
