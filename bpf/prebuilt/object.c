/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Embeds the prebuilt objects. #embed is a directive, so each array is written out; SP_OBJECTS asks for it by name. */
#include "datapath/object.h"

_Alignas(8) static const unsigned char cgroup[] = {
#embed "cgroup.bpf.o"
};
_Alignas(8) static const unsigned char cgroup_legacy[] = {
#embed "cgroup-legacy.bpf.o"
};
_Alignas(8) static const unsigned char netfilter[] = {
#embed "netfilter.bpf.o"
};
_Alignas(8) static const unsigned char netfilter_legacy[] = {
#embed "netfilter-legacy.bpf.o"
};
_Alignas(8) static const unsigned char netfilter_mark[] = {
#embed "netfilter-mark.bpf.o"
};
_Alignas(8) static const unsigned char workload[] = {
#embed "workload.bpf.o"
};

struct sp_bytes sp_object_bytes(enum sp_object object)
{
#define SP_OBJECT_CASE(name) \
	case sp_object_##name: \
		return (struct sp_bytes){ name, sizeof(name) };
	switch (object) { SP_OBJECTS(SP_OBJECT_CASE) }
}
