// SPDX-License-Identifier: Apache-2.0
// The picture of the traffic map: places the nodes beside what they feed, and draws a ribbon for
// each way. One scale holds for all, so widths can be compared.

export interface Ribbon {
	from: HTMLElement;
	to: HTMLElement;
	volume: number;
	kind: string;
}

interface Block {
	node: HTMLElement;
	body: HTMLElement;
}

const SVG = "http://www.w3.org/2000/svg";
const NODE_MAX = 52; // pixels, of all ribbons at a node together
const HAIR = 1.25;
const GAP = 10;
const HEADING = 26; // of the list, as high as that of the table

// Nodes as near to where they are wanted as they get without touching each other.
function place(nodes: HTMLElement[], wanted: number[]): void {
	let free = HEADING;
	nodes.forEach((node, i) => {
		const top = Math.max(free, wanted[i]! - node.offsetHeight / 2);
		node.style.top = `${top}px`;
		free = top + node.offsetHeight + GAP;
	});
}

function middle(element: HTMLElement, origin: number): number {
	const box = element.getBoundingClientRect();
	return (box.top + box.bottom) / 2 - origin;
}

function placeNodes(origin: number, frontends: HTMLElement[], blocks: Block[], ribbons: Ribbon[]): void {
	place(blocks.map(({ node }) => node), blocks.map(({ body }) => middle(body, origin)));
	place(frontends, frontends.map((frontend) => {
		const pool = ribbons.find((ribbon) => ribbon.from === frontend)?.to;
		return pool ? middle(pool, origin) : 0;
	}));
}

function totals(ribbons: Ribbon[], end: "from" | "to"): Map<HTMLElement, number> {
	const sums = new Map<HTMLElement, number>();
	for (const ribbon of ribbons) sums.set(ribbon[end], (sums.get(ribbon[end]) ?? 0) + ribbon.volume);
	return sums;
}

// Ribbons leave and reach a node side by side, in the order of the list.
class Stack {
	#next = new Map<HTMLElement, number>();
	constructor(readonly sums: Map<HTMLElement, number>, readonly scale: number, readonly origin: number) {}
	take(node: HTMLElement, width: number): number {
		const start = this.#next.get(node) ?? middle(node, this.origin) - (this.sums.get(node)! * this.scale) / 2;
		this.#next.set(node, start + width);
		return start + width / 2;
	}
}

function path(x1: number, y1: number, x2: number, y2: number): string {
	const bend = (x1 + x2) / 2;
	return `M${x1.toFixed(1)} ${y1.toFixed(1)}C${bend.toFixed(1)} ${y1.toFixed(1)} ${bend.toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
}

export function drawRibbons(map: HTMLElement, svg: SVGSVGElement, frontends: HTMLElement[], blocks: Block[],
	ribbons: Ribbon[]): void {
	if (getComputedStyle(svg).display === "none") return; // a narrow screen
	const frame = map.getBoundingClientRect();
	placeNodes(frame.top, frontends, blocks, ribbons);
	// What the table does not make high enough, the nodes do.
	const lowest = Math.max(0, ...[...frontends, ...blocks.map(({ node }) => node)].map((node) => node.offsetTop + node.offsetHeight));
	map.style.minHeight = `${lowest}px`;
	const from = totals(ribbons, "from");
	const to = totals(ribbons, "to");
	const rowHeight = Math.min(...ribbons.map(({ to: end }) => end.offsetHeight), NODE_MAX);
	const widest = Math.max(...from.values(), ...to.values(), 0);
	const widestRow = Math.max(...ribbons.filter(({ to: end }) => end.tagName === "TD").map(({ volume }) => volume), 0);
	const scale = widest > 0 ? Math.min(NODE_MAX / widest, (rowHeight - 6) / Math.max(widestRow, 1e-9)) : 0;
	const leaving = new Stack(from, scale, frame.top);
	const arriving = new Stack(to, scale, frame.top);
	while (svg.children.length > ribbons.length) svg.lastElementChild!.remove();
	while (svg.children.length < ribbons.length) svg.append(document.createElementNS(SVG, "path"));
	ribbons.forEach((ribbon, i) => {
		const width = ribbon.volume * scale;
		const x1 = ribbon.from.getBoundingClientRect().right - frame.left;
		const x2 = ribbon.to.getBoundingClientRect().left - frame.left;
		const line = svg.children[i]!;
		line.setAttribute("d", path(x1, leaving.take(ribbon.from, width), x2, arriving.take(ribbon.to, width)));
		line.setAttribute("stroke-width", Math.max(HAIR, width).toFixed(2));
		line.setAttribute("class", `ribbon ${ribbon.kind} ${width > 0 ? "busy" : "idle"}`);
	});
}
