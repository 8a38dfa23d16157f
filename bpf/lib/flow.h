/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A flow and its two ends, as the programs pass them to each other. */
#pragma once
#include <linux/types.h>

/* In sp_endpoint.flags beside SP_WORKLOAD_…: a cgroup without labels below a workload that rejects such children. */
#define SP_ENDPOINT_UNLABELLED (1u << 31)

/* Likewise: known from before the generation in force, and perhaps somebody else by now. */
#define SP_ENDPOINT_STALE (1u << 30)

/* Likewise, of a peer that was handed over: it was allowed to reach another workload than the one that receives. */
#define SP_ENDPOINT_MISDIRECTED (1u << 29)

/* Likewise: it waits for its receiver to confirm the handshake. */
#define SP_ENDPOINT_CLAIMS (1u << 28)

/* Likewise, of a peer: its own egress hook handed over who it is, for this very packet. */
#define SP_ENDPOINT_HANDED_OVER (1u << 27)

/* Likewise: and NAT has changed the packet on its way. */
#define SP_ENDPOINT_TRANSLATED (1u << 26)

/* Likewise, of a receiver: there may be one, but which is not known. */
#define SP_ENDPOINT_AMBIGUOUS (1u << 25)

/* What is done with a packet or a call. Every function that decides returns it; entry points say it in their hook's way. */
enum sp_verdict {
	SP_REFUSE = 0,
	SP_PASS_ON = 1,
};

/* One end of a flow. */
struct sp_endpoint {
	__u64 workload; /* cgroup id of the labelled ancestor, 0 = host */
	__u32 identity; /* number */
	__u32 flags;	/* SP_WORKLOAD_…, SP_ENDPOINT_… */
	__u32 assurance;
	__u32 pad;
};

/* A flow as one end sees it: what is asked of the policy, and its answer. */
struct sp_flow {
	struct sp_endpoint subject; /* whose policy is asked */
	struct sp_endpoint peer;
	__u64 cookie; /* of the subject's socket; netfilter: what names it, see sp_name_socket */
	__u64 socket; /* netfilter: where the packet's own socket is in the kernel's memory */
	__u32 generation;
	__u8 direction;
	__u8 pad;
	__be16 other_port; /* of the destination as the other end knows it, if NAT has made it another one; else 0 */
	__u32 port_index;  /* of the destination, whoever asks */
	__u32 rule;
	__u32 observed_rule;
	__u8 action;	      /* what to do: SP_ALLOW or SP_REJECT */
	__u8 observed_action; /* what would be done if all that is observed were enforced, when that differs in cause */
	__u8 decided_by;
	__u8 log;
};
