// SPDX-License-Identifier: Apache-2.0
// The compiled programs of bpf/, each from its first byte to the one behind its last.

#define TEXT(x)	 #x
#define QUOTE(x) TEXT(x)

#define OBJECT(symbol, file)                              \
	.balign 8;                                        \
	.global bpf_##symbol##_start;                     \
	.global bpf_##symbol##_end;                       \
	bpf_##symbol##_start : .incbin QUOTE(BPF_DIR/file);\
	bpf_##symbol##_end:

	.section .rodata
OBJECT(redirect, redirect.bpf.o)
OBJECT(redirect_tags, redirect_tags.bpf.o)
OBJECT(fast_path, fast_path.bpf.o)

	.section .note.GNU-stack,"",%progbits
