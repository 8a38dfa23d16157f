/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The seam between the verdict and the place where it is asked. Each datapath tells in its own way
 *   sp_find_subject       whose packet it is
 *   sp_find_sender        whose socket of this namespace sent a packet
 *   sp_find_receiver      whose socket of this namespace a packet goes to
 *   sp_sees_sender        whether sp_find_sender can tell
 *   sp_is_bound           whether a packet's socket is bound to a device, where lookups need to know it
 *   sp_is_looped          whether a packet stays in this namespace
 *   sp_gets_a_copy        whether other sockets get the packet too, with a call of their own
 *   sp_initial_sequence   of a connecting socket's SYN
 *   sp_socket_uid         the user of the packet's own socket
 *   sp_listener_tag       what ties the last ACK of a handshake to its SYN
 *   sp_record_attempt     a connection is tried, and may be
 *   sp_record_sender_task the process that sends
 * and everything else is one text for both.
 */
#pragma once
#if defined(SP_TOLD)
#include "hook_told.h"
#elif defined(SP_NETFILTER)
#include "hook_netfilter.h"
#else
#include "hook_cgroup.h"
#endif
