/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every byte that crosses between the kernel programs and Swift, and nothing else; abi/ has it by reader.
 *
 * Rules: fixed-width types only; the type states the byte order (__u16/__u32 host order, __be16/__be32 network order);
 * padding is explicit, so that a hash key never hashes garbage; every struct has its size asserted. A change of meaning
 * or layout raises SP_ABI_VERSION. Enumerations are append-only: a retired number stays, as a comment.
 */
#pragma once
#include "abi/limits.h"
#include "abi/verdicts.h"
#include "abi/tables.h"
#include "abi/conversations.h"
#include "abi/shares.h"
#include "abi/records.h"
#include "abi/events.h"
#include "abi/netfilter.h"
