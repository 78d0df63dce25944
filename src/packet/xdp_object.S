// SPDX-License-Identifier: Apache-2.0
// The compiled XDP program (bpf/redirect.bpf.c), from its first byte to the one behind its last.

#define TEXT(x)	 #x
#define QUOTE(x) TEXT(x)

	.section .rodata
	.balign 8
	.global xdp_object_start
	.global xdp_object_end
xdp_object_start:
	.incbin QUOTE(XDP_OBJECT)
xdp_object_end:

	.section .note.GNU-stack,"",%progbits
