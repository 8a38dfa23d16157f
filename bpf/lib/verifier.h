/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is written for the verifier: functions that it proves once, and where it shall forget what it knows. */
#pragma once
#include <linux/types.h>

/* A function that branches a lot: verified once, whoever calls it, because it is global. That needs 5.12 (pointers to
 * memory as arguments of global functions); an object for older kernels makes them static.
 */
#ifdef SP_NO_GLOBAL_FUNCTIONS
#define SP_FUNCTION static __noinline
#else
#define SP_FUNCTION __noinline
#endif

/* An argument that only some builds use: else the compiler leaves it out of the calls, and the verifier asks for it. */
#define SP_USED(argument) asm volatile("" : : "r"(argument))

#ifdef SP_MARK
/* Always 0, and nobody writes it; but it is no constant, so the verifier takes it for anything. */
__u64 sp_nothing;

typedef __u64 __attribute__((may_alias)) sp_word;

/* Leaves an object as it is, and makes the verifier forget what it knew of it (SP_JOIN). */
static __always_inline void sp_forget(void *object, __u32 words)
{
	__u64 nothing = *(volatile __u64 *)&sp_nothing;
	sp_word *word = object;
	__u32 i;

#pragma clang loop unroll(full)
	for (i = 0; i < words; i++)
		word[i] ^= nothing;
}
#endif

/* A static function is verified again on each path that leads to it. Where paths join, what the verifier knows of a value
 * on one of them is made unknown, so that it goes on once and not once per path: by copying the value over itself, or in
 * the mark view, which runs where the helper that does it is forbidden, by mixing it with a zero that the verifier does not
 * know to be one.
 */
#if defined(SP_MARK)
#define SP_JOIN(object)                                                             \
	do {                                                                        \
		_Static_assert(sizeof(*(object)) % 8 == 0, "made of 8-byte words"); \
		sp_forget(object, sizeof(*(object)) / 8);                           \
	} while (0)
#elif defined(SP_NO_GLOBAL_FUNCTIONS)
#define SP_JOIN(object) bpf_probe_read_kernel(object, sizeof(*(object)), object)
#else
#define SP_JOIN(object) ((void)0)
#endif
