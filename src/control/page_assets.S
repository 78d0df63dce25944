// SPDX-License-Identifier: Apache-2.0
// The files of the page as they are, and compressed. Each has a symbol at its first byte and one
// behind its last; without WEB_DIR (make WEB=0) there is nothing between them.

#define TEXT(x)	 #x
#define QUOTE(x) TEXT(x)

#ifdef WEB_DIR
#define CONTENT(file) .incbin QUOTE(WEB_DIR/file)
#else
#define CONTENT(file)
#endif

#define ASSET(symbol, file)                  \
	.global page_##symbol##_start;       \
	.global page_##symbol##_end;         \
	page_##symbol##_start : CONTENT(file);\
	page_##symbol##_end:

	.section .rodata
ASSET(html, index.html)
ASSET(html_gz, index.html.gz)
ASSET(js, page.js)
ASSET(js_gz, page.js.gz)
ASSET(css, page.css)
ASSET(css_gz, page.css.gz)
ASSET(icon, favicon.svg)
ASSET(icon_gz, favicon.svg.gz)

	.section .note.GNU-stack,"",%progbits
