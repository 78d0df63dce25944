// SPDX-License-Identifier: Apache-2.0
// The compiled XDP programs (bpf/redirect.bpf.c), each from its first byte to the one behind its last.

#define TEXT(x)	 #x
#define QUOTE(x) TEXT(x)

#define OBJECT(symbol, file)                              \
	.balign 8;                                        \
	.global xdp_##symbol##_start;                     \
	.global xdp_##symbol##_end;                       \
	xdp_##symbol##_start : .incbin QUOTE(XDP_DIR/file);\
	xdp_##symbol##_end:

	.section .rodata
OBJECT(plain, redirect.bpf.o)
OBJECT(tags, redirect_tags.bpf.o)

	.section .note.GNU-stack,"",%progbits
