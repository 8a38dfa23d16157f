/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The main datapath for kernels before 5.15: the same programs with static functions, which the verifier walks through once
 * per call, and with the cgroup of a socket read as those kernels keep it.
 */
#define SP_NO_GLOBAL_FUNCTIONS
#include "cgroup.bpf.c"
