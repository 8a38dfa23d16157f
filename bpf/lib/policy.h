/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The verdict: two classes, a port class, at most four probes of one hash; never a list. */
#pragma once
#include "../maps.h"
#include "identity.h"

static __always_inline struct sp_classes *sp_classes_of(__u32 slot, __u32 identity)
{
	__u32 index;

	if (identity >= SP_IDENTITY_CAPACITY)
		return 0;
	index = slot * SP_IDENTITY_CAPACITY + identity;
	return bpf_map_lookup_elem(&sp_classes, &index);
}

static __always_inline int sp_port_class(__u32 slot, __u32 port_index, __u16 *class)
{
	__u32 row_index = slot * SP_PORT_ROWS + port_index / SP_PORTS_PER_ROW;
	struct sp_port_row *row = bpf_map_lookup_elem(&sp_ports, &row_index);

	if (!row)
		return 0;
	*class = row->classes[port_index & (SP_PORTS_PER_ROW - 1)];
	return 1;
}

static __always_inline struct sp_cell *sp_find_cell(struct sp_cell_key *key, __u32 peer, __u16 port_class, __u8 probes)
{
	struct sp_cell *cell;

	key->peer = peer;
	key->port_class = port_class;
	if (peer && port_class && (probes & SP_PROBE_PEER_PORT)) {
		cell = bpf_map_lookup_elem(&sp_policy, key);
		if (cell)
			return cell;
	}
	if (peer && (probes & SP_PROBE_PEER)) {
		key->port_class = 0;
		cell = bpf_map_lookup_elem(&sp_policy, key);
		if (cell)
			return cell;
	}
	key->peer = 0;
	if (port_class && (probes & SP_PROBE_PORT)) {
		key->port_class = port_class;
		cell = bpf_map_lookup_elem(&sp_policy, key);
		if (cell)
			return cell;
	}
	if (probes & SP_PROBE_ANY) {
		key->port_class = 0;
		return bpf_map_lookup_elem(&sp_policy, key);
	}
	return 0;
}

static __always_inline void sp_decide(struct sp_flow *flow)
{
	struct sp_classes *subject, *peer;
	struct sp_cell_key key = {};
	struct sp_cell *cell;
	__u32 direction = flow->direction & 1, slot = SP_SLOT(flow->generation);
	__u16 port_class;

	flow->action = SP_REJECT;
	flow->decided_by = SP_BY_ERROR;
	subject = sp_classes_of(slot, flow->subject.identity);
	peer = sp_classes_of(slot, flow->peer.identity);
	if (!subject || !peer || !sp_port_class(slot, flow->port_index, &port_class))
		return;
	flow->decided_by = SP_BY_DEFAULT;
	/* 0 is what an identity that was never published has: refused, as an unwritten table must be */
	flow->action = subject->fallback[direction] == SP_ALLOW ? SP_ALLOW : SP_REJECT;
	key.subject = subject->subject[direction];
	if (!key.subject)
		return;
	key.direction = direction;
	key.slot = slot;
	cell = sp_find_cell(&key, peer->peer, port_class, subject->probes[direction]);
	if (!cell)
		return;
	flow->log = cell->log;
	flow->observed_rule = cell->observed_rule;
	flow->observed_action = cell->observed_action;
	if (cell->action != SP_NONE) {
		flow->action = cell->action == SP_ALLOW ? SP_ALLOW : SP_REJECT;
		flow->decided_by = SP_BY_RULE;
		flow->rule = cell->rule;
	}
}

/* True for an unlabelled child that is unknown to others although the workload above it is known. */
static __always_inline int sp_endpoint_is_nobody(const struct sp_endpoint *endpoint)
{
	return (endpoint->flags & SP_ENDPOINT_UNLABELLED) && endpoint->identity == SP_IDENTITY_UNKNOWN;
}

/* The verdict of one side of a flow. A subject in observe mode is let through, and what would have happened is recorded.
 */
SP_FUNCTION enum sp_verdict sp_judge(struct sp_flow *flow)
{
	if (!flow)
		return SP_REFUSE;
	flow->rule = 0;
	flow->observed_rule = 0;
	flow->observed_action = SP_NONE;
	flow->log = 0;
	if (flow->subject.flags & SP_ENDPOINT_UNLABELLED) {
		flow->action = SP_REJECT;
		flow->decided_by = SP_BY_UNLABELLED;
	} else if (flow->subject.workload == flow->peer.workload && flow->peer.assurance >= SP_ASSURED_SOCKET &&
		   !sp_endpoint_is_nobody(&flow->peer)) {
		flow->action = SP_ALLOW;
		flow->decided_by = SP_BY_LOCAL;
		return SP_PASS_ON;
	} else {
		sp_decide(flow);
	}
	if (flow->subject.flags & SP_WORKLOAD_OBSERVE) {
		if (!flow->observed_action) {
			flow->observed_action = flow->action;
			flow->observed_rule = flow->rule;
		}
		flow->action = SP_ALLOW;
	}
	SP_JOIN(flow);
	return flow->action == SP_ALLOW ? SP_PASS_ON : SP_REFUSE;
}
