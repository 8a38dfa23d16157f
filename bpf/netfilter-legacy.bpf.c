/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The netfilter datapath for kernels before 5.17: the same programs with static functions, which the verifier walks through
 * once per call, and with a search for sockets that looks at few.
 */
#define SP_NO_GLOBAL_FUNCTIONS
#include "netfilter.bpf.c"
